{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
}:
let
  workspace = (lib.importTOML ../Cargo.toml).workspace;
  manifest = lib.importTOML ../crates/cli/Cargo.toml;
in
rustPlatform.buildRustPackage {
  pname = manifest.package.name;
  inherit (workspace.package) version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../crates
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  # The tests are for the gate, which has peers for them; who builds an image need not wait for them.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash fish zsh; do "$out/bin/stream-layered" completions $shell > stream-layered.$shell; done
    installShellCompletion --cmd stream-layered \
      --bash stream-layered.bash --fish stream-layered.fish --zsh stream-layered.zsh
    "$out/bin/stream-layered" man > stream-layered.1
    installManPage stream-layered.1
  '';

  meta = {
    inherit (manifest.package) description;
    homepage = workspace.package.repository;
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    mainProgram = "stream-layered";
    platforms = lib.platforms.unix;
  };
}

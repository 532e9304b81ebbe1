{
  lib,
  stdenv,
  pkgs,
  rustPlatform,
  installShellFiles,
  pkg-config,
  sqlite,
  versionCheckHook,
  xz,
  src ? import ./source.nix { inherit lib; },
}:
let
  workspace = (lib.importTOML ../Cargo.toml).workspace;
  manifest = lib.importTOML ../crates/cli/Cargo.toml;
in
rustPlatform.buildRustPackage (finalAttrs: {
  pname = manifest.package.name;
  inherit (workspace.package) version;

  inherit src;
  cargoLock.lockFile = ../Cargo.lock;

  # Without its feature `bundled`, the program is linked with the system's SQLite and xz, which only
  # read. What compresses is built from the crates' own sources all the same (zstd, libdeflate): other
  # versions write other bytes, and a layer's digest would depend on the package set.
  buildNoDefaultFeatures = true;
  cargoBuildFlags = [
    "--package"
    manifest.package.name
  ];

  # Unit tests. The end-to-end tests need servers (Docker, registries, Nix itself) and stay with the
  # repository's own gate.
  cargoTestFlags = [
    "--workspace"
    "--lib"
    "--bins"
  ];

  nativeBuildInputs = [
    installShellFiles
    pkg-config
  ];
  buildInputs = [
    sqlite
    xz
  ];

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash fish zsh; do "$out/bin/stream-layered" completions $shell > stream-layered.$shell; done
    installShellCompletion --cmd stream-layered \
      --bash stream-layered.bash --fish stream-layered.fish --zsh stream-layered.zsh
    "$out/bin/stream-layered" man > stream-layered.1
    installManPage stream-layered.1
  '';

  doInstallCheck = true;
  nativeInstallCheckInputs = [ versionCheckHook ];

  passthru.tests = import ./tests.nix {
    inherit pkgs;
    stream-layered = finalAttrs.finalPackage;
  };

  meta = {
    inherit (manifest.package) description;
    homepage = workspace.package.repository;
    changelog = "${workspace.package.repository}/blob/v${finalAttrs.version}/CHANGELOG.md";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    # None while it is not in nixpkgs, whose list names them.
    maintainers = [ ];
    mainProgram = "stream-layered";
    # All tests run on x86_64-linux. For arm64 and macOS, `.ci/cross` builds it: there the arm64 program
    # runs under qemu, and the one for macOS does not run. Nothing in it is for one processor alone, so
    # that other Linux machines are not shut out.
    platforms = lib.platforms.linux ++ lib.platforms.darwin;
  };
})

# Takes a program that was built before in the place of a build: crates cannot be had inside of one.
{
  lib,
  program,
  runCommand,
  glibc,
}:
let
  # The arguments are a set, or a function of it as it ends up.
  build =
    args:
    let
      finalPackage = package (
        if builtins.isFunction args then
          lib.fix (attrs: args (attrs // { inherit finalPackage; }))
        else
          args
      );
    in
    finalPackage;
  package =
    attrs:
    runCommand "${attrs.pname}-${attrs.version}"
      {
        inherit glibc;
        inherit (attrs) meta postInstall version;
        nativeBuildInputs =
          attrs.nativeBuildInputs or [ ]
          ++ attrs.buildInputs or [ ]
          ++ attrs.nativeInstallCheckInputs or [ ];
        # Only files that the package says are its sources can be built from.
        sources = attrs.src;
        passthru = {
          inherit (attrs) pname version;
        }
        // attrs.passthru or { };
        program =
          if builtins.pathExists program then
            builtins.path {
              name = "program";
              path = program;
            }
          else
            throw "tests/nixpkgs/program is not there: copy target/release/stream-layered to it";
      }
      ''
        test -e "$sources/Cargo.toml"
        install -D -m 755 "$program" "$out/bin/${attrs.meta.mainProgram}"
        strip "$out/bin/${attrs.meta.mainProgram}"
        patchelf --set-interpreter "$glibc/lib/ld-linux.so" --force-rpath --set-rpath "$glibc/lib" \
          "$out/bin/${attrs.meta.mainProgram}"
        eval "$postInstall"
        # versionCheckHook
        "$out/bin/${attrs.meta.mainProgram}" --version | grep -F " ${attrs.version}"
      '';
in
build

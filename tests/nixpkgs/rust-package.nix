# Takes a program that was built before in the place of a build: crates cannot be had inside of one.
{
  program,
  runCommand,
  glibc,
}:
attrs:
runCommand "${attrs.pname}-${attrs.version}"
  {
    inherit glibc;
    inherit (attrs) meta nativeBuildInputs postInstall;
    passthru = {
      inherit (attrs) pname version;
    };
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
    install -D -m 755 "$program" "$out/bin/${attrs.meta.mainProgram}"
    strip "$out/bin/${attrs.meta.mainProgram}"
    patchelf --set-interpreter "$glibc/lib/ld-linux.so" --force-rpath --set-rpath "$glibc/lib" \
      "$out/bin/${attrs.meta.mainProgram}"
    eval "$postInstall"
  ''

# Two store paths, without nixpkgs: a program, and the text that it prints. Needs gcc.
let
  build =
    name: script:
    derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
      PATH = "/usr/bin:/bin";
      args = [
        "-euc"
        script
      ];
    };
  greeting = build "greeting-1.0" ''
    mkdir -p "$out/share"
    echo "Hello from a layered image." > "$out/share/greeting"
  '';
in
build "hello-1.0" ''
  mkdir -p "$out/bin"
  gcc -Os -static -nostdlib -fno-asynchronous-unwind-tables -fno-stack-protector -fcf-protection=none \
    -DGREETING='"${greeting}/share/greeting"' -Wl,--build-id=none -Wl,-z,noseparate-code -s \
    -o "$out/bin/hello" ${./hello.c}
''

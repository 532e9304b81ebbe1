# Packages made of the programs that are installed on the machine. A program's shared libraries come
# along as packages of their own, and it is patched to find them there, so that it runs in an image
# that holds nothing else.
{
  lib,
  runCommand,
}:
let
  patch = ''
    # Patches the ELF files below $out to the libraries of the given packages.
    patch() {
      local libraries=
      for package in "$out" "$@"; do libraries=$libraries:$package/lib; done
      find "$out" -type f | while read -r file; do
        patchelf --print-interpreter "$file" >/dev/null 2>&1 \
          && patchelf --set-interpreter "$glibc/lib/ld-linux.so" "$file"
        patchelf --print-rpath "$file" >/dev/null 2>&1 \
          && patchelf --force-rpath --set-rpath "''${libraries#:}" "$file"
        true
      done
    }
  '';

  glibc = runCommand "glibc-2" { } ''
    mkdir -p "$out/lib"
    for name in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2 \
      libgcc_s.so.1 libnss_files.so.2 libnss_dns.so.2; do
      for directory in /lib/*-linux-gnu /usr/lib/*-linux-gnu; do
        if [ -e "$directory/$name" ]; then cp -L "$directory/$name" "$out/lib/$name"; fi
      done
    done
    cp -L /lib*/ld-linux*.so.* "$out/lib/ld-linux.so"
    ln -s ld-linux.so "$out/lib/$(basename /lib*/ld-linux*.so.*)"
  '';

  # The machine's programs with these paths, and links to them, as a package.
  programs =
    name:
    {
      files,
      links ? { },
      mainProgram ? name,
      version ? "1",
    }:
    runCommand "${name}-${version}"
      {
        inherit glibc;
        passthru = {
          pname = name;
          inherit version;
        };
        meta = { inherit mainProgram; };
      }
      ''
        ${patch}
        mkdir -p "$out/bin"
        for file in ${toString files}; do cp -L "$file" "$out/bin/"; done
        ${lib.concatStrings (lib.mapAttrsToList (link: target: "ln -s ${target} $out/bin/${link}\n") links)}
        libraries() {
          ldd "$@" | sed -n 's/^.*=> \(\/[^ ]*\) .*/\1/p' | sort -u
        }
        for library in $(libraries "$out"/bin/*); do
          name=$(basename "$library")
          if [ ! -e "$glibc/lib/$name" ]; then install -D "$library" "$out/lib/$name"; fi
        done
        patch "$glibc"
      '';
in
rec {
  inherit glibc;

  bash = programs "bash" {
    files = [ "/bin/bash" ];
    links.sh = "bash";
  };
  bashInteractive = programs "bash-interactive" {
    files = [ "/bin/bash" ];
    links.sh = "bash";
    mainProgram = "bash";
  };
  coreutils = programs "coreutils" {
    files = [ "$(dpkg -L coreutils | grep '^/bin/\\|^/usr/bin/')" ];
    mainProgram = "ls";
  };
  # What builders have.
  tools = programs "tools" {
    files = [
      "/bin/bash"
      "/bin/grep"
      "/bin/sed"
      "/bin/tar"
      "/usr/bin/expr"
      "/usr/bin/find"
      "/usr/bin/getopt"
      "/usr/bin/jq"
      "/usr/bin/strip"
      "$(dpkg -L coreutils | grep '^/bin/\\|^/usr/bin/')"
    ];
    links.sh = "bash";
  };
  nix = programs "nix" {
    files = [ "/usr/bin/nix" ];
    links = lib.genAttrs [
      "nix-build"
      "nix-daemon"
      "nix-env"
      "nix-store"
    ] (_: "nix");
  };
  sqlite = programs "sqlite" {
    files = [ "/usr/bin/sqlite3" ];
    mainProgram = "sqlite3";
  };
  pigz = programs "pigz" { files = [ "/usr/bin/pigz" ]; };
  zstd = programs "zstd" { files = [ "/usr/bin/zstd" ]; };
  proot = programs "proot" { files = [ "/usr/bin/proot" ]; };

  fakeroot = runCommand "fakeroot-1" { inherit bash tools glibc; } ''
    ${patch}
    mkdir -p "$out/bin" "$out/lib"
    cp -L /usr/bin/faked-sysv "$out/bin/"
    cp -L /usr/lib/*-linux-gnu/libfakeroot/libfakeroot-sysv.so "$out/lib/"
    sed -e "1s|.*|#!$bash/bin/bash|" -e "2iPATH=$tools/bin:\$PATH" \
      -e "s|^FAKEROOT_BINDIR=.*|FAKEROOT_BINDIR=$out/bin|" \
      -e "s|^PATHS=.*|PATHS=$out/lib|" \
      -e "s|/usr/lib/[^:]*/libfakeroot|$out/lib|g" \
      /usr/bin/fakeroot-sysv > "$out/bin/fakeroot"
    chmod 555 "$out/bin/fakeroot"
    patch "$glibc"
  '';

  # Static programs: nothing but themselves is in their closure.
  hello =
    runCommand "hello-2.12"
      {
        meta.mainProgram = "hello";
        passthru = {
          pname = "hello";
          version = "2.12";
        };
      }
      ''
        mkdir -p "$out/bin" "$out/share/doc"
        printf '#include <stdio.h>\nint main(void) { puts("Hello, world!"); return 0; }\n' > hello.c
        cc -O1 -static -s -o "$out/bin/hello" hello.c
        echo 'It greets.' > "$out/share/doc/hello.txt"
      '';
  busybox = runCommand "busybox-1" { meta.mainProgram = "busybox"; } ''
    mkdir -p "$out/bin"
    cp -L /bin/busybox "$out/bin/busybox"
    for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$out/bin/$applet"; done
  '';

  cacert = runCommand "cacert-1" { } ''
    install -D -m 444 /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-bundle.crt"
  '';
}

# What nixpkgs' own examples and tests of streamLayeredImage and buildLayeredImage are about, each
# with packages of the test set.
{ program }:
let
  pkgs = import ./packages.nix { inherit program; };
  inherit (pkgs)
    bash
    busybox
    coreutils
    dockerTools
    hello
    nix
    runCommand
    writeShellScript
    writeText
    writeTextDir
    ;
  inherit (dockerTools)
    buildLayeredImage
    buildLayeredImageWithNixDb
    streamLayeredImage
    ;

  # Accounts for an image that does not run as root.
  account =
    { name, uid }:
    [
      (writeTextDir "etc/passwd" ''
        root:x:0:0:root:/root:/bin/bash
        ${name}:x:${toString uid}:${toString uid}:${name}:/home/${name}:/bin/bash
      '')
      (writeTextDir "etc/group" ''
        root:x:0:
        ${name}:x:${toString uid}:
      '')
    ];
in
rec {
  helloOnRoot = streamLayeredImage {
    name = "hello";
    tag = "latest";
    contents = [ hello ];
    config.Cmd = [ "hello" ];
  };

  helloOnRootNoStore = streamLayeredImage {
    name = "hello";
    tag = "latest";
    contents = [ hello ];
    config.Cmd = [ "hello" ];
    includeStorePaths = false;
  };

  helloOnRootNoStoreFakechroot = streamLayeredImage {
    name = "hello";
    tag = "latest";
    contents = [ hello ];
    config.Cmd = [ "hello" ];
    includeStorePaths = false;
    fakeRootCommands = "mkdir -p /srv";
    enableFakechroot = true;
  };

  bashNoTagLayered = buildLayeredImage {
    name = "bash-no-tag-layered";
    contents = bash;
  };

  bashNoTagStreamLayered = streamLayeredImage {
    name = "bash-no-tag-stream-layered";
    contents = bash;
  };

  bashLayeredUncompressed = buildLayeredImage {
    name = "bash-layered-uncompressed";
    tag = "latest";
    compressor = "none";
    contents = bash;
  };

  bashLayeredZstdCompressed = buildLayeredImage {
    name = "bash-layered-zstd";
    tag = "latest";
    compressor = "zstd";
    contents = bash;
  };

  bashLayeredWithUser = buildLayeredImage {
    name = "bash-layered-with-user";
    tag = "latest";
    contents = [
      bash
      coreutils
    ]
    ++ account {
      name = "somebody";
      uid = 999;
    };
  };

  nixLayered = buildLayeredImageWithNixDb {
    name = "nix-layered";
    tag = "latest";
    contents = [
      bash
      coreutils
      nix
      (writeTextDir "etc/passwd" "root:x:0:0:root:/root:/bin/bash\n")
      (writeTextDir "etc/group" "root:x:0:\n")
    ];
    config.Env = [ "NIX_PAGER=cat" ];
  };

  # A program that is a store path of its own, and that prints another.
  filesInStore = buildLayeredImageWithNixDb {
    name = "file-in-store";
    tag = "latest";
    contents = [
      bash
      coreutils
      nix
      (writeTextDir "etc/passwd" "root:x:0:0:root:/root:/bin/bash\n")
      (writeTextDir "etc/group" "root:x:0:\n")
    ];
    config.Cmd = [
      (writeShellScript "runmyscript" ''
        exec ${coreutils}/bin/cat ${writeText "myscript" "some data"}
      '')
    ];
  };

  server =
    let
      page = writeTextDir "index.html" "<h1>Hello from a layer</h1>\n";
    in
    {
      name = "web-server";
      tag = "latest";
      contents = [
        busybox
        dockerTools.fakeNss
      ];
      extraCommands = ''
        mkdir -p tmp/cache var/log/server
        chmod 1777 tmp
      '';
      config = {
        Cmd = [
          "${busybox}/bin/httpd"
          "-f"
          "-p"
          "8080"
          "-h"
          page
        ];
        ExposedPorts."8080/tcp" = { };
      };
    };
  serverLayered = buildLayeredImage server;
  serverStream = streamLayeredImage server;

  unstableDateLayered = buildLayeredImage {
    name = "unstable-date-layered";
    tag = "latest";
    contents = [ coreutils ];
    created = "now";
  };

  layered-image = buildLayeredImage {
    name = "layered-image";
    tag = "latest";
    extraCommands = "echo layered > extraCommands";
    config.Cmd = [ "${hello}/bin/hello" ];
    contents = [
      hello
      bash
      coreutils
    ];
  };

  another-layered-image = buildLayeredImage {
    name = "another-layered-image";
    tag = "latest";
    config.Cmd = [ "${hello}/bin/hello" ];
  };

  layered-on-top-layered = buildLayeredImage {
    name = "layered-on-top-layered";
    tag = "latest";
    fromImage = layered-image;
    extraCommands = "mkdir ./example-output";
    config.Cmd = [
      "${coreutils}/bin/env"
      "${bash}/bin/bash"
      "-c"
      "cat /extraCommands > /example-output/foo; cat /example-output/foo"
    ];
    config.Env = [ "PATH=/bin" ];
  };

  parent = buildLayeredImage {
    name = "parent";
    tag = "latest";
    config.Env = [
      "FROM_PARENT=true"
      "LAST_LAYER=parent"
    ];
  };
  environmentVariablesLayered = streamLayeredImage {
    name = "child";
    tag = "latest";
    fromImage = parent;
    contents = [ coreutils ];
    config.Env = [
      "FROM_CHILD=true"
      "LAST_LAYER=child"
    ];
  };

  two-layered-image = buildLayeredImage {
    name = "two-layered-image";
    tag = "latest";
    config.Cmd = [ "${hello}/bin/hello" ];
    contents = [
      bash
      hello
    ];
    maxLayers = 2;
  };

  bulk-layer = buildLayeredImage {
    name = "bulk-layer";
    tag = "latest";
    contents = [
      coreutils
      hello
    ];
    maxLayers = 2;
  };

  layered-bulk-layer = buildLayeredImage {
    name = "layered-bulk-layer";
    tag = "latest";
    fromImage = two-layered-image;
    contents = [
      bash
      coreutils
      hello
      busybox
    ];
    maxLayers = 4;
  };

  # hello is a reference of the commands, and not of what they make.
  selfReferential = runCommand "self-referential-busybox" { } ''
    cp -r ${busybox} "$out"
    chmod u+w "$out"
    echo "$out" > "$out/self"
  '';
  no-store-paths = buildLayeredImage {
    name = "no-store-paths";
    tag = "latest";
    extraCommands = ''
      # ${hello}
      cp -r ${selfReferential}/bin ${selfReferential}/self .
    '';
  };

  symlink =
    runCommand "symlink" { }
      "ln -s ${writeTextDir "dir/target" "It does not matter.\n"} $out";
  layeredStoreSymlink = streamLayeredImage {
    name = "layeredstoresymlink";
    tag = "latest";
    contents = [
      bash
      coreutils
      symlink
    ];
  };

  prefixedLayeredImage = buildLayeredImage {
    name = "registry-1.docker.io/layered-image";
    tag = "latest";
    config.Cmd = [ "${hello}/bin/hello" ];
  };

  layeredImageWithFakeRootCommands = buildLayeredImage {
    name = "layered-image-with-fake-root-commands";
    tag = "latest";
    contents = [ coreutils ];
    fakeRootCommands = ''
      mkdir -p ./home/alice
      chown 1000 ./home/alice
      ln -s ${hello} ./hello
    '';
  };

  imageViaFakeChroot = streamLayeredImage {
    name = "image-via-fake-chroot";
    tag = "latest";
    config.Cmd = [ "hello" ];
    enableFakechroot = true;
    # The root is not the machine's here.
    fakeRootCommands = ''
      mkdir -p /bin /srv/data
      ln -s ${hello}/bin/hello /bin/hello
      chown 12345:12345 /srv/data
      if [ -e /usr ]; then exit 1; fi
    '';
  };

  chown-test = streamLayeredImage {
    name = "chown-test";
    tag = "latest";
    enableFakechroot = true;
    fakeRootCommands = ''
      touch /testfile
      chown 12345:12345 /testfile
    '';
    config.Cmd = [
      "${coreutils}/bin/stat"
      "-c"
      "%u:%g"
      "/testfile"
    ];
  };

  non-root-test = streamLayeredImage {
    name = "non-root-test";
    tag = "latest";
    uid = 1000;
    gid = 1000;
    uname = "user";
    gname = "user";
    config = {
      User = "user";
      Cmd = [
        "${coreutils}/bin/stat"
        "-c"
        "%u:%g"
        "${coreutils}/bin/stat"
      ];
    };
    contents = [
      coreutils
    ]
    ++ account {
      name = "user";
      uid = 1000;
    };
  };

  layered-image-with-path = streamLayeredImage {
    name = "layered-image-with-path";
    tag = "latest";
    contents = [
      bash
      ./contents
    ];
  };

  layered-image-with-architecture = streamLayeredImage {
    name = "layered-image-with-architecture";
    tag = "latest";
    architecture = "arm64";
  };

  # nixpkgs' tests put a buildImage on a layered image; this is ours, which needs no machine.
  layered-on-top = (import ../../nix { inherit pkgs; }).buildImage {
    name = "layered-on-top";
    tag = "latest";
    fromImage = layered-image;
    extraCommands = "mkdir ./example-output";
    config.Cmd = [
      "${coreutils}/bin/cat"
      "/extraCommands"
    ];
  };
}

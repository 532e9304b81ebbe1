# For each argument an image that has it.
{ program }:
let
  pkgs = import ./packages.nix { inherit program; };
  inherit (pkgs)
    bash
    busybox
    coreutils
    dockerTools
    hello
    runCommand
    writeText
    writeTextDir
    ;
  inherit (dockerTools) buildLayeredImage streamLayeredImage;

  # The image that differs from another in one argument.
  plain = args: streamLayeredImage ({ name = "plain"; } // args);
  buildImage = args: (import ../../nix { inherit pkgs; }).buildImage ({ name = "plain"; } // args);
  some = {
    name = "some";
    contents = [
      bash
      hello
    ];
  };
  pipeline = [
    [
      "subcomponent_out"
      [ bash ]
    ]
  ];
  evaluated = image: {
    inherit (image)
      imageName
      imageTag
      isExe
      name
      ;
    conf = image.conf.name;
    confTag = image.conf.imageTag;
    hash = builtins.substring 0 32 (baseNameOf image.conf.outPath);
    layers = image.conf.layersJsonFile.name;
  };
in
{
  # What is known without a build.
  known = {
    plain = evaluated (plain { });
    tagged = evaluated (plain {
      tag = "v1.2_a-B";
    });
    prefixed = evaluated (plain {
      name = "ghcr.io:443/Some/Name";
    });
    archive =
      let
        image = buildLayeredImage {
          name = "Archive";
          passthru.tests = "own";
          passthru.imageTag = "not this";
          meta.description = "an archive";
        };
      in
      {
        inherit (image) imageName imageTag name;
        tests = image.tests;
        description = image.meta.description;
        streamTag = image.stream.imageTag;
        streamMeta = image.stream.meta;
        names = map (compressor: (image.override { inherit compressor; }).name) [
          "none"
          "gz"
          "zstd"
        ];
      };
    passthru =
      let
        image = plain {
          passthru.own = 1;
          passthru.conf = "not this";
          meta.description = "an image";
        };
      in
      {
        inherit (image) own;
        conf = image.conf.name;
        description = image.meta.description;
        attributes = builtins.attrNames image.passthru;
      };
    override = ((plain { }).override { tag = "other"; }).imageTag;
    overrideFunction =
      ((plain { }).override (old: {
        name = old.name + "-2";
      })).imageName;
    architecture = {
      x86_64 = (import ../../nix/architecture.nix { parsed.cpu.name = "x86_64"; });
      aarch64 = (import ../../nix/architecture.nix { parsed.cpu.name = "aarch64"; });
      riscv64 = (import ../../nix/architecture.nix { parsed.cpu.name = "riscv64"; });
      go = (import ../../nix/architecture.nix { go.GOARCH = "mips"; });
    };
    # The digests hang on store paths alone.
    sameDigests =
      let
        digests = args: (plain ({ contents = [ hello ]; } // args)).conf.layerDigests.drvPath;
      in
      map (args: digests args == digests { }) [
        { config.Env = [ "A=1" ]; }
        { tag = "other"; }
        { created = "now"; }
        { labels.a = "b"; }
        { config.Env = [ "A=${bash}" ]; }
        { contents = [ bash ]; }
        { uid = 1; }
        { mtime = "2000-01-01T00:00:00Z"; }
      ];
    noDigests = map (args: (plain args).conf.layerDigests == null) [
      { digests = false; }
      { mtime = "now"; }
    ];
  };

  # Refused before anything is built.
  refused = builtins.mapAttrs (_: image: image.drvPath) {
    unknown = plain { content = [ hello ]; };
    unknownOfArchive = buildLayeredImage {
      name = "plain";
      content = [ hello ];
    };
    maxLayers = plain { maxLayers = 1; };
    compressor = buildLayeredImage {
      name = "plain";
      compressor = "xz";
    };
    tag = plain { tag = "a b"; };
    strategies = plain {
      strategy = "auto";
      layeringPipeline = [ [ "popularity_contest" ] ];
    };
    lockAndPrevious = plain {
      lock = builtins.toFile "image.lock.json" "";
      previous = plain { };
    };
    runAsRoot = buildImage { runAsRoot = "true"; };
    unknownOfBuildImage = buildImage { content = [ hello ]; };
    fromImageName = buildImage { fromImageName = "base"; };
    copyToRootAndContents = buildImage {
      copyToRoot = hello;
      contents = hello;
    };
    enableFakechroot =
      (import ../../nix {
        inherit pkgs;
        tools = pkgs // {
          stdenv = pkgs.stdenv // {
            hostPlatform = pkgs.stdenv.hostPlatform // {
              isDarwin = true;
            };
          };
        };
      }).streamLayeredImage
        {
          name = "plain";
          enableFakechroot = true;
        };
  };
  # Refused by the build.
  fails = {
    contents = plain { contents = [ (writeText "file" "not a directory") ]; };
    maxLayers = plain {
      fromImage = buildLayeredImage some;
      maxLayers = 4;
      contents = [ busybox ];
    };
    strategy = plain { strategy = "best"; };
    layeringPipeline = plain { layeringPipeline = [ [ "no_such_thing" ] ]; };
    owners = plain { owners."/nothing" = "1:1"; };
    modes = plain {
      contents = [ hello ];
      modes."/bin" = "rwx";
    };
    fromImage = plain { fromImage = writeText "base" "no archive"; };
    extraCommands = plain { extraCommands = "false"; };
    fakeRootCommands = plain { fakeRootCommands = "false; true"; };
  };

  contentsOne = plain { contents = hello; };
  contentsPath = plain { contents = ./contents; };
  contentsMerged = plain {
    contents = [
      (writeTextDir "etc/a" "first")
      (runCommand "second" { } ''
        mkdir -p $out/etc $out/bin
        echo second > $out/etc/a
        echo b > $out/etc/b
        ln -s b $out/etc/link
      '')
    ];
  };
  config = plain {
    # A store path in the configuration is in the image.
    config = {
      Cmd = [ "${hello}/bin/hello" ];
      Labels.text = "ünï \"code\"";
    };
  };
  configNull = plain { config = null; };
  architecture = plain { architecture = "riscv64"; };
  created = plain { created = "2024-02-29T12:34:56+02:00"; };
  createdNow = plain { created = "now"; };
  createdFlake = plain { created = "20240229123456"; };
  createdDay = plain { created = "2024-02-29"; };
  mtime = plain {
    contents = hello;
    mtime = "2024-02-29T12:34:56Z";
  };
  mtimeNow = plain {
    contents = hello;
    mtime = "now";
  };
  owner = plain {
    contents = hello;
    uid = 1234;
    gid = 567;
    uname = "alice";
    gname = "staff";
  };
  maxLayers = plain {
    contents = [
      bash
      coreutils
      hello
      busybox
    ];
    maxLayers = 3;
  };
  extraCommands = plain {
    contents = hello;
    extraCommands = ''
      mkdir -p var/data
      echo "made in $(basename "$PWD")" > var/data/file
      chmod 700 var/data
      rm bin/hello
    '';
  };
  fakeRootCommands = plain {
    fakeRootCommands = ''
      mkdir -p home/alice
      echo text > home/alice/file
      chown -R 1000:100 home/alice
      chmod 4755 home/alice/file
      ln -s ${hello} hello
    '';
  };
  enableFakechroot = plain {
    enableFakechroot = true;
    fakeRootCommands = ''
      mkdir -p /srv/data
      cd /srv/data
      pwd > where
      chown 7:8 where
    '';
  };
  includeNixDB = plain {
    contents = hello;
    config.Cmd = [ "${bash}/bin/bash" ];
    includeNixDB = true;
  };
  includeStorePaths = plain {
    contents = hello;
    config.Cmd = [ "${bash}/bin/bash" ];
    includeStorePaths = false;
  };
  debug = plain {
    contents = hello;
    debug = true;
  };
  strategy = streamLayeredImage (
    some
    // {
      strategy = "popularity";
      maxLayers = 3;
    }
  );
  # Store paths in a pipeline may be packages.
  layeringPipeline = streamLayeredImage (some // { layeringPipeline = pipeline; });
  layeringPipelineFile = streamLayeredImage (
    some // { layeringPipeline = writeText "pipeline.json" (builtins.toJSON pipeline); }
  );
  onBase = plain {
    fromImage = buildLayeredImage some;
    contents = busybox;
  };
  buildImage = buildImage {
    copyToRoot = [
      hello
      bash
    ];
    fromImage = buildLayeredImage some;
    config.Cmd = [ "${busybox}/bin/sh" ];
    architecture = "riscv64";
    extraCommands = "echo text > file";
    uid = 1;
    gid = 2;
    created = "2024-02-29";
    compressor = "none";
    keepContentsDirlinks = true;
    diskSize = 2048;
    buildVMMemorySize = 1024;
  };
  buildImageContents = buildImage { contents = hello; };
  labels = plain {
    config.Labels = {
      a = "config";
      b = "config";
    };
    labels = {
      b = "labels";
      c = "labels";
    };
  };
  labelsAlone = plain {
    config = null;
    labels.a = "b";
  };
  annotations = plain { annotations."org.opencontainers.image.title" = "An image"; };
  ownersAndModes = plain {
    contents = [
      (writeTextDir "etc/secret" "s")
      hello
    ];
    extraCommands = ''
      mkdir -p srv/data/a
      touch srv/data/a/b srv/other
    '';
    owners = {
      "/srv/data{,/**}" = "1000:100";
      "/srv/data/a/b" = {
        uid = 7;
        gid = 8;
      };
      "/home/alice/" = "1000:1000";
    };
    modes = {
      "/tmp/" = "1777";
      "/srv/data/a/*" = "4750";
      "/" = "0711";
    };
  };
  # No commands, so nothing but the program makes the layer.
  modesAlone = plain { modes."/tmp/" = "1777"; };
  toLoad = streamLayeredImage {
    name = "to-load";
    tag = "latest";
    config.Cmd = [ "${hello}/bin/hello" ];
  };
  stable = streamLayeredImage some;
  previous = streamLayeredImage (some // { previous = buildLayeredImage some; });
  # Images whose layers are known from before.
  locks =
    let
      image = args: streamLayeredImage (some // { tag = "locked"; } // args);
      file = name: text: builtins.toFile name text;
      first = image { };
      # Made by a build, so that it need not be a file of these tests. It reads the store's database, as
      # no build in a sandbox can.
      lock =
        image:
        runCommand "image.lock.json" { } "${image.lock}/bin/${image.lock.meta.mainProgram} --no-cache > $out";
      edited =
        name: command:
        runCommand "${name}.json" { } "sed -e '${command}' ${lock first} > $out";
      # A wrong digest whose checksum is right.
      forged = runCommand "forged.json" { } ''
        line=$(sed -n 's/.*"tar": "\(.*\)".*/\1/p' ${lock first} | head -n 1)
        set -- $line
        digest=$(printf %064d 1)
        checksum=$(printf %s "$1 $digest $3" | sha256sum | head -c 16)
        sed "s/$line/$1 $digest $3 $checksum/" ${lock first} > $out
      '';
      changed = {
        contents = some.contents ++ [
          # Large enough for a layer of its own.
          (runCommand "changed" { } "mkdir -p $out/etc; head -c 3000000 /dev/zero > $out/etc/changed")
        ];
      };
    in
    {
      inherit first;
      file = lock first;
      same = image { lock = lock first; };
      empty = image { lock = file "empty.json" ""; };
      changed = image ({ lock = lock first; } // changed);
      changedAfterConf = image ({ previous = first; } // changed);
      changedAfterPlan = image ({ previous = lock first; } // changed);
      changedAnew = image changed;
      renewed = image ({ lock = lock (image ({ lock = lock first; } // changed)); } // changed);
      otherOwner = image {
        lock = lock first;
        uid = 1;
      };
      # Nothing of the image is in the lock.
      foreign = image { lock = lock (plain { contents = [ busybox ]; }); };
      popularity = image {
        strategy = "popularity";
        lock = lock (image { strategy = "popularity"; });
      };
      archive = buildLayeredImage (some // { lock = lock first; });
      tests = (image { lock = lock first; passthru.tests.own = "own"; }).tests;
      forged = image { lock = forged; };
      editedDigest = image { lock = edited "edited" "/\"tar\"/s/ [0-9a-f]/ 0/2"; };
      editedPaths = image { lock = edited "edited-paths" "0,/-glibc-/s/-glibc-/-glibd-/"; };
      notJson = image { lock = file "not.json" "<<<<<<< HEAD"; };
      notALock = image { lock = file "plan.json" (builtins.toJSON { layers = [ ]; }); };
      otherVersion = image { lock = file "version.json" (builtins.toJSON { lock = 2; }); };
    };
  digestsOff = streamLayeredImage (some // { digests = false; });
  # Such a script as nixpkgs' makeWrapper writes.
  resultOfNixpkgs = runCommand "stream-some" { } ''
    printf '%s\n' '#! ${bash}/bin/bash -e' \
      'exec "${hello}/bin/hello"  ${
        (streamLayeredImage (some // { digests = false; })).conf
      } "$@" ' > $out
    chmod +x $out
  '';
  digestsOn = streamLayeredImage some;
  budgetKept = streamLayeredImage (some // { budget = "size=1GB,closure=1000"; });
  budgetExceeded = streamLayeredImage (some // { budget = "closure=1"; });
  compressors = map (compressor: buildLayeredImage (some // { inherit compressor; })) [
    "none"
    "gz"
    "zstd"
  ];
  uncompressed = buildLayeredImage (some // { compressor = "none"; });
  gzip = buildLayeredImage (some // { compressor = "gz"; });
  zstd = buildLayeredImage (some // { compressor = "zstd"; });
  plan = (streamLayeredImage some).plan;
  archiveHasBin = buildLayeredImage some ? bin;
  # `lib.getExe` of the image itself.
  getExe = writeText "exe" (pkgs.lib.getExe (streamLayeredImage some));
}

# What packages and images written for nixpkgs' dockerTools rely on.
{ program }:
let
  pkgs = import ./packages.nix { inherit program; };
  inherit (pkgs)
    bash
    coreutils
    hello
    runCommand
    ;
  inherit (pkgs.dockerTools) buildLayeredImage streamLayeredImage;
  plain = args: streamLayeredImage ({ name = "plain"; } // args);
  buildImage = args: (import ../../nix { inherit pkgs; }).buildImage ({ name = "plain"; } // args);
in
{
  # Values that conditions and other modules leave behind.
  loose = plain {
    uid = "1000";
    gid = "0";
    contents = [
      null
      [
        [ hello ]
        ""
      ]
    ];
  };
  noContents = plain { contents = null; };

  devices = plain {
    fakeRootCommands = ''
      mkdir -p jail/dev
      mknod -m 666 jail/dev/null c 1 3
      mknod jail/dev/sda b 8 0
      mkfifo -m 600 jail/pipe
      chown 1000:100 jail/dev/null
    '';
  };
  pipe = plain { extraCommands = "mkfifo pipe"; };

  # Commands change nothing but the files.
  isolated = plain {
    extraCommands = ''
      umask 077
      export PATH=/nowhere
      : > private
      exit 0
    '';
    fakeRootCommands = ''
      : > public
      exit 0
    '';
  };
  environment = plain {
    extraCommands = "bash -c 'echo $name $system' > environment";
  };
  databaseEnvironment = plain {
    contents = hello;
    includeNixDB = true;
    extraCommands = "nix-store -q --references ${hello} > references; echo $USER > user";
  };

  overridden = {
    conf = ((pkgs.dockerTools.override { }).streamLayeredImage { name = "plain"; }).conf.name;
    load = (pkgs.dockerTools.override { }).streamLayeredImage { name = "plain"; } ? load;
    examples = pkgs.dockerTools.examples.layered ? stream.load;
  };
  streamScript = (plain { }).streamScript;
  conf = (plain { contents = hello; }).conf;

  contentAddressed = plain {
    contents = runCommand "content-addressed" {
      __contentAddressed = true;
      outputHashMode = "recursive";
      outputHashAlgo = "sha256";
    } "mkdir -p $out/share; echo text > $out/share/file";
  };

  buildImage = buildImage {
    copyToRoot = hello;
    config.Cmd = [ "/bin/hello" ];
  };
  buildImageTag = (buildImage { copyToRoot = hello; }).imageTag;

  refused = builtins.mapAttrs (_: image: image.drvPath) {
    uid = plain { uid = "root"; };
    architecture = plain { architecture = null; };
    createdNull = plain { created = null; };
    createdWords = plain { created = "2024-02-29 12:34:56 UTC"; };
    mtime = plain { mtime = "yesterday"; };
    env = plain { config.Env.A = "1"; };
    cmd = plain { config.Cmd = "hello"; };
    user = plain { config.User = 1000; };
    ports = plain { config.ExposedPorts = [ "80/tcp" ]; };
    labels = plain { config.Labels.a = 1; };
    interval = plain { config.Healthcheck.Interval = "30s"; };
    config = plain { config = [ ]; };
    buildCommand = (plain { }).overrideAttrs { buildCommand = "echo"; };
  };
  # None of the checks is in the way of what fits.
  fits = plain {
    config = {
      Env = null;
      Cmd = [
        hello
        ./contents
      ];
      Entrypoint = [ bash ];
      User = "1000:100";
      ExposedPorts."80/tcp" = { };
      Volumes."/data" = null;
      Labels.a = "b";
      WorkingDir = coreutils;
      Healthcheck = {
        Test = [
          "CMD"
          "true"
        ];
        Interval = 30000000000;
        Retries = 3;
      };
      StopSignal = "SIGTERM";
    };
  };
  layered = buildLayeredImage {
    name = "layered";
    contents = hello;
    config.Cmd = [ "/bin/hello" ];
  };
}

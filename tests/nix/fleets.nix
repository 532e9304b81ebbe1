# Images whose layers are planned together.
{ program }:
let
  pkgs = import ./packages.nix { inherit program; };
  inherit (pkgs)
    bash
    busybox
    coreutils
    hello
    runCommand
    writeTextDir
    ;
  inherit (pkgs.dockerTools) buildLayeredImage streamLayeredImages;

  images = {
    api.contents = [
      bash
      hello
      (writeTextDir "etc/api" "api")
    ];
    web = {
      name = "team/web";
      contents = [
        bash
        coreutils
      ];
      maxLayers = 20;
    };
  };
  fleet =
    args:
    streamLayeredImages (
      {
        tag = "1";
        inherit images;
      }
      // args
    );
  lock =
    image:
    runCommand "image.lock.json" { } "${image.lock}/bin/${image.lock.meta.mainProgram} --no-cache > $out";
  changed = images // {
    api.contents = images.api.contents ++ [ (writeTextDir "etc/changed" "changed") ];
  };
in
rec {
  first = fleet { };
  # One service changes, another comes.
  next = fleet {
    previous = first.api.fleet.plan;
    images = changed // {
      worker.contents = [
        bash
        hello
      ];
    };
  };
  # Each image has a lock, as the release before left it.
  locked = fleet {
    images = builtins.mapAttrs (name: image: image // { lock = lock first.${name}; }) changed;
  };
  # The releases before.
  after = fleet {
    images = builtins.mapAttrs (name: image: image // { previous = first.${name}; }) changed;
  };
  onBase = fleet {
    fromImage = buildLayeredImage {
      name = "base";
      contents = busybox;
    };
  };
  known = {
    names = builtins.mapAttrs (_: image: image.imageName) first;
    tags = builtins.mapAttrs (_: image: image.imageTag) first;
    # The plan, and so the images, do not wait for other images' digests.
    plans = first.api.fleet.plan == first.web.fleet.plan;
  };
  refused.strategy = (fleet { strategy = "auto"; }).api.drvPath;
  refused.unknown = (fleet { content = [ ]; }).api.drvPath;
}

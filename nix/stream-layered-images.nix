# Several images whose layers are planned together: what they share is in the same layers.
{
  lib,
  step,
  program,
  streamLayeredImage,
}:
{
  # The images by name. Each has the arguments of streamLayeredImage; `name` is that in this set by default.
  images,
  # The plan of the fleet before, as a file: `.fleet.plan` of one of its images, or what
  # `plan --fleet … --format json` wrote.
  previous ? null,
  # All other arguments are defaults for each image.
  ...
}@args:
let
  defaults = removeAttrs args [
    "images"
    "previous"
  ];
  fleetImages = lib.mapAttrs (
    image: own:
    streamLayeredImage (
      {
        name = image;
      }
      // defaults
      // own
      // {
        fleet = {
          inherit image plan push;
        };
      }
    )
  ) images;
  members = lib.mapAttrs (_: image: image.fleetMember) fleetImages;
  graphOf = image: "graph of ${image}";

  plan = step "fleet-plan.json" "fleet-plan" {
    inherit previous;
    images = lib.mapAttrs (image: member: {
      inherit (member)
        fromImage
        lock
        maxLayers
        previous
        ;
      graph = graphOf image;
      exclude = member.roots;
    }) members;
    exportReferencesGraph = lib.mapAttrs' (image: member: {
      name = graphOf image;
      value = member.roots;
    }) members;
  };

  # Names the images' configurations for `push`, which does not wait for digests.
  confs = step "fleet.json" "text" {
    text = builtins.toJSON {
      images = lib.mapAttrs (_: image: { conf = image.confToSend; }) fleetImages;
    };
  };

  # Pushes all images: `.fleet.push` of each of them.
  push = program rec {
    name = "push-fleet";
    bin = name;
    # As one word: other words after it are no more images.
    arguments = [
      "push"
      "--fleet=${confs}"
    ];
    attrs.meta = {
      description = "push of the images ${lib.concatStringsSep ", " (builtins.attrNames images)}";
      mainProgram = name;
    };
  };
in
fleetImages

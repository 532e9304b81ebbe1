# Programs that load, push, plan and lock an image: `nix run .#image.load`.
{ lib, program }:
{
  baseName,
  imageName,
  # The image's configuration.
  conf,
  options ? [ ],
}:
lib.genAttrs
  [
    "load"
    "push"
    "plan"
    "lock"
  ]
  (
    verb:
    program rec {
      name = "${verb}-${baseName}";
      bin = name;
      arguments = [
        verb
      ]
      ++ options
      ++ [
        "--conf"
        conf
      ];
      attrs.meta = {
        description = "${verb} of the image ${imageName}";
        mainProgram = name;
      };
    }
  )

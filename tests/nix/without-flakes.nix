# `default.nix`, and the overlay's functions beside it.
{ program }:
let
  pkgs = import ../nixpkgs { inherit program; };
  ours = import ../.. { inherit pkgs; };
  overlaid = pkgs.extend ours.overlay;
  image = {
    name = "image";
    contents = [ pkgs.hello ];
  };
in
{
  functions = builtins.attrNames ours;
  same =
    (ours.streamLayeredImage image).drvPath == (overlaid.dockerTools.streamLayeredImage image).drvPath;
}

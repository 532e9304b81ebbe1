# Puts the builders of this repository in the place of nixpkgs' own.
final: prev:
let
  inherit (final) lib;

  ours = {
    inherit
      (import ./. {
        pkgs = final;
        inherit (final.buildPackages) stream-layered;
      })
      streamLayeredImage
      streamLayeredImages
      buildLayeredImage
      buildLayeredImageWithNixDb
      ;
  };

  # `dockerTools.override { … }` makes the set anew, and its examples are made with the builders that
  # they are given: both have ours, too.
  withOurs =
    dockerTools:
    dockerTools
    // ours
    // lib.optionalAttrs (dockerTools ? override) {
      override = change: withOurs (dockerTools.override change);
    }
    // lib.optionalAttrs (dockerTools ? examples.override) {
      examples = dockerTools.examples.override (old: builtins.intersectAttrs old ours);
    };
in
{
  stream-layered = final.callPackage ./package.nix { };
  dockerTools = withOurs prev.dockerTools;
}

# Puts the builders of this repository in the place of nixpkgs' own.
final: prev: {
  stream-layered = final.callPackage ./package.nix { };
  dockerTools = prev.dockerTools // {
    inherit
      (import ./. {
        pkgs = final;
        inherit (final.buildPackages) stream-layered;
      })
      streamLayeredImage
      buildLayeredImage
      buildLayeredImageWithNixDb
      ;
  };
}

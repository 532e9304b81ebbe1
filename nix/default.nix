# The builder functions, for one package set.
{
  # What goes into images, and what system they are for.
  pkgs,
  # What builds and streams them: the machine's own, also where `pkgs` are for another system.
  tools ? pkgs.buildPackages,
  stream-layered ? tools.callPackage ./package.nix { },
}:
let
  inherit (pkgs) lib;
  inherit (import ./steps.nix { inherit lib tools stream-layered; }) step program;

  rootLayer = import ./root-layer.nix {
    inherit
      lib
      tools
      stream-layered
      step
      ;
  };

  defaultArchitecture = import ./architecture.nix pkgs.stdenv.hostPlatform;

  overridable = file: args: lib.makeOverridable (import file ({ inherit lib; } // args));

  streamLayeredImage = overridable ./stream-layered-image.nix {
    inherit
      tools
      stream-layered
      step
      program
      rootLayer
      defaultArchitecture
      ;
  };
  buildLayeredImage = overridable ./build-layered-image.nix { inherit tools streamLayeredImage; };
in
{
  inherit streamLayeredImage buildLayeredImage;
  buildLayeredImageWithNixDb = args: buildLayeredImage ({ includeNixDB = true; } // args);
  buildImage = overridable ./build-image.nix { inherit buildLayeredImage defaultArchitecture; };
}

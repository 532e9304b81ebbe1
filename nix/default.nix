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

  commands = import ./commands.nix { inherit lib program; };
  archive = import ./archive.nix { inherit lib tools; };

  overridable = file: args: lib.makeOverridable (import file args);

  streamLayeredImage = overridable ./stream-layered-image.nix {
    inherit
      lib
      tools
      stream-layered
      step
      program
      commands
      rootLayer
      defaultArchitecture
      ;
  };
  streamLayeredImages = import ./stream-layered-images.nix {
    inherit
      lib
      step
      program
      streamLayeredImage
      ;
  };
  buildLayeredImage = overridable ./build-layered-image.nix {
    inherit archive streamLayeredImage;
  };
in
{
  /**
    Makes a script that writes an image to its standard output, for `docker load`. Store paths are in
    layers, and nothing of the image is in the Nix store a second time.

    # Inputs

    The arguments of nixpkgs' `dockerTools.streamLayeredImage`, and more: see `docs/nix.md`.

    # Example

    ```nix
    streamLayeredImage {
      name = "hello";
      contents = [ pkgs.hello ];
      config.Cmd = [ "/bin/hello" ];
    }
    ```
  */
  inherit streamLayeredImage;

  /**
    Makes several images whose layers are planned together, so that what they share is in the same layers.

    # Inputs

    `images`: the images by name, each with the arguments of `streamLayeredImage`. `previous`: the plan of
    the fleet before. All other arguments are defaults for each image.

    # Output

    The images by name, as `streamLayeredImage` makes them.

    # Example

    ```nix
    streamLayeredImages {
      maxLayers = 40;
      images.api.contents = [ api ];
      images.web.contents = [ web ];
    }
    ```
  */
  inherit streamLayeredImages;

  /**
    Makes the archive that `streamLayeredImage`'s script writes, as a file.

    # Inputs

    Those of `streamLayeredImage`, and `compressor`: "none", "gz" or "zstd".
  */
  inherit buildLayeredImage;

  /**
    `buildLayeredImage` with a Nix database in the image that knows its contents.
  */
  buildLayeredImageWithNixDb = args: buildLayeredImage ({ includeNixDB = true; } // args);

  /**
    Makes an image as nixpkgs' `dockerTools.buildImage` does, with all store paths in one layer and
    without a virtual machine: `runAsRoot` is refused.
  */
  buildImage = overridable ./build-image.nix {
    inherit
      lib
      archive
      commands
      streamLayeredImage
      defaultArchitecture
      ;
  };
}

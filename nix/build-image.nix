# nixpkgs' `buildImage` for images that need no virtual machine to be built: all store paths in one
# layer, below the one of the root.
{
  lib,
  archive,
  commands,
  streamLayeredImage,
  defaultArchitecture,
}:
{
  name,
  tag ? null,
  fromImage ? null,
  # Names one of several images in the archive of the base image.
  fromImageName ? null,
  fromImageTag ? null,
  # Packages whose files are in the image's root, as links into the store: one, or a list.
  copyToRoot ? null,
  # The former name of `copyToRoot`.
  contents ? null,
  # A link to a directory is one in the image as well, unless another package has files there, so
  # that there is nothing to choose.
  keepContentsDirlinks ? false,
  config ? null,
  architecture ? defaultArchitecture,
  extraCommands ? "",
  # Owner of the files in the image's root; those in the store are root's.
  uid ? 0,
  gid ? 0,
  created ? "1970-01-01T00:00:01Z",
  compressor ? "gz",
  includeNixDB ? false,
  meta ? { },
  # What needs the virtual machine.
  runAsRoot ? null,
  diskSize ? 1024,
  buildVMMemorySize ? 512,
}:
let
  inRoot = if copyToRoot == null then contents else copyToRoot;

  stream = streamLayeredImage (
    {
      inherit
        name
        tag
        fromImage
        config
        architecture
        extraCommands
        created
        includeNixDB
        ;
      contents = inRoot;
      # However many layers the base image has, the store paths come in one.
      layeringPipeline = [
        [ "popularity_contest" ]
        [
          "limit_layers"
          1
        ]
      ];
    }
    // lib.optionalAttrs (uid != 0 || gid != 0) {
      owners."/**" = { inherit uid gid; };
    }
  );

  # As in nixpkgs, the hash of the archive's own store path, where streamLayeredImage takes that of
  # the configuration's.
  imageTag =
    if tag != null then
      tag
    else
      builtins.head (
        builtins.split "-" (baseNameOf (builtins.unsafeDiscardStringContext result.outPath))
      );

  result = archive {
    inherit
      name
      stream
      compressor
      meta
      ;
    # The build cannot be told the path that it makes: it takes the tag from there by itself.
    options = lib.optionalString (
      tag == null
    ) ''--repo_tag "$imageName:$(basename "$out" | cut -d- -f1)"'';
    passthru =
      # An archive is no program.
      removeAttrs stream.passthru [ "bin" ]
      // commands {
        baseName = baseNameOf name;
        inherit (stream) imageName;
        conf = stream.confToSend;
        options = [
          "-t"
          "${stream.imageName}:${imageTag}"
        ];
      }
      // {
        inherit imageTag stream;
      };
  };

  assertions = [
    {
      holds = runAsRoot == null;
      message = "runAsRoot needs a virtual machine, which lib.buildImage does without; say owners and modes with streamLayeredImage's `owners` and `modes`, use its `fakeRootCommands`, or nixpkgs' own dockerTools.buildImage";
    }
    {
      holds = fromImageName == null && fromImageTag == null;
      message = "fromImageName and fromImageTag are not looked at; give a fromImage that holds one image";
    }
    {
      holds = copyToRoot == null || contents == null;
      message = "`contents` is the former name of `copyToRoot`; give one of them";
    }
  ];
in
import ./assertions.nix lib name assertions result

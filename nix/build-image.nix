# nixpkgs' `buildImage` for images that need no virtual machine to be built: all store paths in one
# layer, below the one of the root.
{ lib, buildLayeredImage }:
{
  name,
  tag ? null,
  fromImage ? null,
  # Names one of several images in the archive of the base image.
  fromImageName ? null,
  fromImageTag ? null,
  # Packages whose files are in the image's root.
  copyToRoot ? [ ],
  # The former name of `copyToRoot`.
  contents ? null,
  keepContentsDirlinks ? false,
  config ? { },
  extraCommands ? "",
  uid ? 0,
  gid ? 0,
  created ? "1970-01-01T00:00:01Z",
  compressor ? "gz",
  includeNixDB ? false,
  meta ? { },
  # What needs the virtual machine.
  runAsRoot ? null,
  diskSize ? null,
  buildVMMemorySize ? null,
  ...
}@args:
let
  refuse = condition: message: lib.throwIf condition "in docker image ${name}: ${message}";
in
refuse (runAsRoot != null)
  "runAsRoot needs a virtual machine, which lib.buildImage does without; say owners and modes with streamLayeredImage's `owners` and `modes`, use its `fakeRootCommands`, or nixpkgs' own dockerTools.buildImage"
  refuse
  (fromImageName != null || fromImageTag != null)
  "fromImageName and fromImageTag are not looked at; give a fromImage that holds one image"
  buildLayeredImage
  {
    inherit
      name
      tag
      fromImage
      config
      extraCommands
      uid
      gid
      created
      compressor
      includeNixDB
      meta
      ;
  }

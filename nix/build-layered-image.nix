# The same as an archive in a file.
{
  archive,
  streamLayeredImage,
}:
{
  name,
  # Of the archive, not of the layers in it: "none", "gz" or "zstd".
  compressor ? "gz",
  meta ? { },
  ...
}@args:
let
  stream = streamLayeredImage (
    removeAttrs args [
      "compressor"
      "meta"
    ]
  );
in
archive {
  inherit
    name
    stream
    compressor
    meta
    ;
  # An archive is no program.
  passthru = removeAttrs stream.passthru [ "bin" ] // {
    inherit (stream) imageTag;
    inherit stream;
  };
}

# The same as an archive in a file.
{
  lib,
  tools,
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
  compressors = {
    none = {
      extension = "";
      inputs = [ ];
      command = "cat";
    };
    gz = {
      extension = ".gz";
      inputs = [ tools.pigz ];
      command = "pigz -p$NIX_BUILD_CORES -nTR";
    };
    zstd = {
      extension = ".zst";
      inputs = [ tools.zstd ];
      command = "zstd -T$NIX_BUILD_CORES";
    };
  };
  chosen =
    compressors.${compressor}
      or (throw "in docker image ${name}: compressor must be one of: [${toString (builtins.attrNames compressors)}]");
in
tools.runCommand "${baseNameOf name}.tar${chosen.extension}" {
  inherit (stream) imageName;
  inherit meta;
  nativeBuildInputs = chosen.inputs;
  passthru = stream.passthru // {
    inherit (stream) imageTag;
    inherit stream;
  };
} "TERM=dumb ${stream} | ${chosen.command} > $out"

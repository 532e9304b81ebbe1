# What an image's script writes, in a file.
{ lib, tools }:
let
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
in
{
  name,
  stream,
  # Of the archive, not of the layers in it: "none", "gz" or "zstd".
  compressor,
  # Options for the script, as bash.
  options ? "",
  meta,
  passthru,
}:
let
  chosen =
    compressors.${compressor}
      or (throw "in docker image ${name}: compressor must be one of: [${toString (builtins.attrNames compressors)}]");
in
tools.runCommand "${baseNameOf name}.tar${chosen.extension}" {
  inherit (stream) imageName;
  inherit meta passthru;
  nativeBuildInputs = chosen.inputs;
} "TERM=dumb ${stream} ${options} | ${chosen.command} > $out"

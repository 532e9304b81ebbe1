# The image that `transport` builds: store paths of this machine, and an application that changes.
{
  program,
  roots,
  app,
}:
let
  inherit (import ../nix/packages.nix { inherit program; }) dockerTools;
in
dockerTools.streamLayeredImage {
  name = "stream-layered-bench";
  tag = "latest";
  contents = map builtins.storePath (builtins.filter builtins.isString (builtins.split " " roots) ++ [ app ]);
  config.Cmd = [ "x" ];
}

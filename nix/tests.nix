# What the package's `passthru.tests` has beside its own checks.
{
  pkgs,
  stream-layered,
}:
let
  inherit (import ./. { inherit pkgs stream-layered; }) streamLayeredImage;
in
{
  # An image is built, and written whole.
  image =
    let
      image = streamLayeredImage {
        name = "test";
        tag = "latest";
        contents = [ pkgs.hello ];
        config.Cmd = [ "hello" ];
      };
    in
    pkgs.runCommand "stream-layered-image" { } ''
      ${image} > image.tar
      tar -xOf image.tar manifest.json | grep -F '"test:latest"'
      touch "$out"
    '';
}

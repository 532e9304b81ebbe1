# A NixOS module: images of `virtualisation.oci-containers` are loaded without the layers that the
# engine has.
#
# Before a container starts, its service pipes the image into `docker load` or `podman load`, which takes
# all of it each time. Here another client comes first on the service's path. It knows the image, and
# answers `load` by sending the layers that are missing; all else it leaves to the real client. If the
# image cannot be sent so, the real client loads what the pipe has.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.virtualisation.oci-containers) backend containers;

  stream-layered = pkgs.stream-layered or (pkgs.callPackage ./package.nix { });
  real = config.virtualisation.${backend}.package;

  client =
    image:
    pkgs.writeShellScriptBin backend ''
      if [ "''${1-}" = load ]; then
        if ${lib.getExe stream-layered} load --to ${backend} ${image} < /dev/null; then exit 0; fi
        echo "warning: all layers are sent to ${backend}" >&2
      fi
      exec ${lib.getBin real}/bin/${backend} "$@"
    '';

  # Results of streamLayeredImage. Others, and the engine of another user, are left as they are.
  isOurs =
    container: container.imageStream ? load && (container.podman.user or "root") == "root";
in
{
  # `buildLayeredImage` knows the script that its archive is from, and then the archive is not built.
  options.virtualisation.oci-containers.containers = lib.mkOption {
    type = lib.types.attrsOf (
      lib.types.submodule (
        { options, ... }:
        let
          archives = builtins.filter (file: file ? stream.load) options.imageFile.definitions;
        in
        {
          options.imageFile = lib.mkOption {
            type = lib.types.nullOr lib.types.package;
            apply = file: if file ? stream.load then null else file;
          };
          config.imageStream = lib.mkIf (archives != [ ]) (builtins.head archives).stream;
        }
      )
    );
  };

  config.systemd.services = lib.mapAttrs' (name: container: {
    name = container.serviceName or "${backend}-${name}";
    value.path = lib.mkBefore [ (client container.imageStream) ];
  }) (lib.filterAttrs (_: isOurs) containers);
}

# What NixOS has where images are run as services, in small: the options that a module of such images sees,
# and services that load an image as NixOS' own do, before they start.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.virtualisation.oci-containers;

  container = {
    options = {
      image = mkOption { type = types.str; };
      imageFile = mkOption {
        type = types.nullOr types.package;
        default = null;
      };
      imageStream = mkOption {
        type = types.nullOr types.package;
        default = null;
      };
    };
  };

  # The real client is where the tests say.
  clientOf =
    backend: variable: pkgs.writeShellScriptBin backend ''exec "''$${variable}" "$@"'';

  start =
    name: container:
    pkgs.writeShellScript "start-${name}" ''
      set -o errexit -o nounset -o pipefail
      ${cfg.backend} rm -f ${name} || true
      ${lib.optionalString (container.imageFile != null) "${cfg.backend} load -i ${container.imageFile}"}
      ${lib.optionalString (container.imageStream != null) "${container.imageStream} | ${cfg.backend} load"}
    '';
in
{
  options = {
    virtualisation = {
      docker.package = mkOption {
        type = types.package;
        default = clientOf "docker" "STREAM_LAYERED_TEST_DOCKER";
      };
      podman.package = mkOption {
        type = types.package;
        default = clientOf "podman" "STREAM_LAYERED_TEST_PODMAN";
      };
      oci-containers = {
        backend = mkOption {
          type = types.str;
          default = "podman";
        };
        containers = mkOption {
          type = types.attrsOf (types.submodule container);
          default = { };
        };
      };
    };
    systemd.services = mkOption {
      type = types.attrsOf (
        types.submodule {
          options.path = mkOption {
            type = types.listOf types.package;
            default = [ ];
          };
          options.serviceConfig = mkOption {
            type = types.attrs;
            default = { };
          };
        }
      );
      default = { };
    };
  };
  config.systemd.services = lib.mapAttrs' (name: container: {
    name = "${cfg.backend}-${name}";
    value = {
      path = [ config.virtualisation.${cfg.backend}.package ];
      serviceConfig.ExecStartPre = "${start name container}";
    };
  }) cfg.containers;
}

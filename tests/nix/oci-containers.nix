# A NixOS configuration whose containers run images of this repository, and the scripts that its services
# run before they start.
{ program }:
let
  pkgs = import ./packages.nix { inherit program; };
  inherit (pkgs) lib;
  inherit (pkgs.dockerTools) buildLayeredImage streamLayeredImage;

  image = {
    name = "oci-containers";
    tag = "latest";
    config.Cmd = [ "${pkgs.hello}/bin/hello" ];
  };

  of =
    backend:
    (lib.evalModules {
      specialArgs = { inherit pkgs; };
      modules = [
        ../nixpkgs/nixos.nix
        (import ../.. { inherit pkgs; }).nixosModules.default
        {
          virtualisation.oci-containers = {
            inherit backend;
            containers = {
              stream = {
                image = "oci-containers:latest";
                imageStream = streamLayeredImage image;
              };
              file = lib.mkIf true {
                image = "oci-containers:latest";
                imageFile = buildLayeredImage image;
              };
              # Not ours.
              pulled.image = "hello-world";
              archive = {
                image = "other:latest";
                imageFile = pkgs.writeText "other.tar" "";
              };
            };
          };
        }
      ];
    }).config;

  # What systemd would do, without systemd.
  start =
    service:
    pkgs.writeShellScript "start" ''
      export PATH=${lib.makeBinPath service.path}:/usr/bin:/bin
      exec ${service.serviceConfig.ExecStartPre}
    '';
  evaluated =
    backend:
    let
      config = of backend;
    in
    {
      services = builtins.mapAttrs (_: service: builtins.length service.path) config.systemd.services;
      containers = builtins.mapAttrs (_: container: {
        file = if container.imageFile == null then null else container.imageFile.name;
        stream = if container.imageStream == null then null else container.imageStream.name;
      }) config.virtualisation.oci-containers.containers;
      start = builtins.mapAttrs (_: start) config.systemd.services;
    };
in
{
  docker = evaluated "docker";
  podman = evaluated "podman";
}

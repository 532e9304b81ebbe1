{
  description = "A web service on top of a base image";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  inputs.stream-layered = {
    url = "github:stream-layered/stream-layered";
    inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    {
      self,
      nixpkgs,
      stream-layered,
    }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      inherit (stream-layered.lib.${system}) buildLayeredImage streamLayeredImage;
      site = pkgs.writeTextDir "index.html" "<h1>It works on a base</h1>\n";
    in
    {
      packages.${system} = {
        # Any archive that `docker save` or `skopeo copy` writes can be a base, for example
        #   base = pkgs.dockerTools.pullImage { … };
        base = buildLayeredImage {
          name = "base";
          tag = "latest";
          contents = [
            pkgs.busybox
            pkgs.dockerTools.caCertificates
            pkgs.dockerTools.fakeNss
          ];
          config.Env = [
            "PATH=/bin"
            "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt"
          ];
        };

        docker = streamLayeredImage {
          name = "service-on-base";
          tag = "latest";
          fromImage = self.packages.${system}.base;
          created = self.lastModifiedDate;
          config = {
            # The base's layers and its Env come along; nothing else of its configuration does.
            Cmd = [
              "/bin/httpd"
              "-f"
              "-p"
              "8080"
              "-h"
              site
            ];
            User = "nobody";
            ExposedPorts."8080/tcp" = { };
          };
        };
      };
    };
}

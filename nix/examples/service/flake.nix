{
  description = "A web service: CA certificates, a port, and a user who is not root";

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
      # With the overlay, dockerTools' own functions are this repository's.
      pkgs = import nixpkgs {
        inherit system;
        overlays = [ stream-layered.overlays.default ];
      };
      site = pkgs.writeTextDir "index.html" "<h1>It works</h1>\n";
    in
    {
      packages.${system}.docker = pkgs.dockerTools.streamLayeredImage {
        name = "service";
        tag = "latest";
        # When the source was last changed: a true age, and the same image each time.
        created = self.lastModifiedDate;
        contents = [
          pkgs.dockerTools.caCertificates
          pkgs.dockerTools.fakeNss
        ];
        # Owners and modes are data; no fakeroot is needed for them.
        modes."/tmp/" = "1777";
        owners."/var/lib/service/" = "65534:65534";
        config = {
          Cmd = [
            "${pkgs.busybox}/bin/httpd"
            "-f"
            "-v"
            "-p"
            "8080"
            "-h"
            site
          ];
          User = "nobody";
          WorkingDir = "/var/lib/service";
          ExposedPorts."8080/tcp" = { };
          Env = [ "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt" ];
        };
        labels."org.opencontainers.image.description" = "It works";
      };
    };
}

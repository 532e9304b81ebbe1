{
  description = "An application, and the same image with a shell in it for looking around";

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
      application = {
        name = "application";
        tag = "latest";
        contents = [ pkgs.hello ];
        config.Cmd = [ "/bin/hello" ];
      };
    in
    {
      packages.${system} = rec {
        docker = stream-layered.lib.${system}.streamLayeredImage application;

        # The layers of the image above are shared; those of the shell come to them.
        debug = docker.override {
          tag = "debug";
          contents = application.contents ++ [
            pkgs.bashInteractive
            pkgs.coreutils
            pkgs.dockerTools.usrBinEnv
          ];
          config.Cmd = [ "/bin/bash" ];
        };
      };
    };
}

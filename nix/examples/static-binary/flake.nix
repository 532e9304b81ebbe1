{
  description = "An image that holds one static program, and nothing else";

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
    in
    {
      # `nix build .#docker && ./result | docker load`
      packages.${system}.docker = stream-layered.lib.${system}.streamLayeredImage {
        name = "hello";
        tag = "latest";
        contents = [ pkgs.pkgsStatic.hello ];
        config.Cmd = [ "/bin/hello" ];
      };
    };
}

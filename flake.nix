{
  description = "Turns the closure of Nix store paths into layered, reproducible container images";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      eachSystem =
        f:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
          "armv7l-linux"
          "i686-linux"
          "powerpc64le-linux"
          "riscv64-linux"
          "x86_64-darwin"
          "aarch64-darwin"
        ] (system: f nixpkgs.legacyPackages.${system});
      # What images hold is for Linux, whatever system builds them.
      forImages =
        pkgs:
        nixpkgs.legacyPackages.${
          builtins.replaceStrings [ "darwin" ] [ "linux" ] pkgs.stdenv.hostPlatform.system
        };
    in
    {
      overlays.default = import ./nix/overlay.nix;
      # A path by itself is no module for older Nix (2.8).
      nixosModules.default.imports = [ ./nix/module.nix ];

      lib = eachSystem (
        pkgs:
        import ./nix {
          pkgs = forImages pkgs;
          tools = pkgs;
        }
      );

      packages = eachSystem (pkgs: rec {
        default = stream-layered;
        stream-layered = pkgs.callPackage ./nix/package.nix { };
        # An image of the program itself.
        docker = self.lib.${pkgs.stdenv.hostPlatform.system}.streamLayeredImage {
          name = "stream-layered";
          created = self.lastModifiedDate;
          config.Entrypoint = [ (lib.getExe ((forImages pkgs).callPackage ./nix/package.nix { })) ];
          config.WorkingDir = "/work";
        };
      });

      apps = lib.mapAttrs (_: packages: {
        default = {
          type = "app";
          program = lib.getExe packages.default;
        };
        docker = {
          type = "app";
          program = lib.getExe packages.docker;
        };
      }) self.packages;

      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.rustc
            pkgs.rustfmt
          ];
        };
      });

      checks = lib.mapAttrs (_: packages: { inherit (packages) default docker; }) self.packages;

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);

      templates = import ./nix/examples;
    };
}

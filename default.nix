# For use without flakes: the builder functions, the program, the overlay and the NixOS module.
{
  pkgs ? import <nixpkgs> { },
}:
let
  stream-layered = pkgs.buildPackages.callPackage ./nix/package.nix { };
in
import ./nix { inherit pkgs stream-layered; }
// {
  inherit stream-layered;
  overlay = import ./nix/overlay.nix;
  nixosModules.default.imports = [ ./nix/module.nix ];
}

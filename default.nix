# For use without flakes: the builder functions, and the program.
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
}

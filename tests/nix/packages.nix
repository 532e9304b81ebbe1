# The package set of these tests, with the builders of this repository in it.
{ program }:
import ../nixpkgs {
  inherit program;
  overlays = [ (import ../../nix/overlay.nix) ];
}

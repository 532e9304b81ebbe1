# What the program is built from. A copy of `package.nix` inside nixpkgs takes a fetcher instead, and this
# file stays here: nixpkgs allows no `lib.fileset`.
{ lib }:
lib.fileset.toSource {
  root = ../.;
  fileset = lib.fileset.unions [
    ../Cargo.toml
    ../Cargo.lock
    ../crates
  ];
}

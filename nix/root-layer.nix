# The layer on top: what an image has outside of its store paths. A directory with the layer's tar,
# `layer.tar`, and its digest, `checksum`.
{
  lib,
  tools,
  stream-layered,
  step,
}:
{
  baseName,
  contents,
  extraCommands,
  fakeRootCommands,
  enableFakechroot,
  includeNixDB,
  owners,
  modes,
  # A file with the store paths that the image's configuration names.
  references,
}:
let
  name = "${baseName}-customisation-layer";
  data = { inherit contents owners modes; };

  nixDatabase = {
    exportReferencesGraph.graph = contents ++ [ references ];
    exclude_paths = [ references ];
    nativeBuildInputs = [
      tools.nix
      tools.sqlite
    ];
    # `nix-store` takes $PWD for the root of a store of its own.
    commands = ''
      stream-layered nix registration > ../registration
      (
        export NIX_REMOTE="local?root=$PWD" USER=nobody
        nix-store --load-db < ../registration
        sqlite3 nix/var/nix/db/db.sqlite "UPDATE ValidPaths SET registrationTime = $SOURCE_DATE_EPOCH"
        # Nix has linked it to the place where this build happens, which the next build may not share.
        ln -sfn /nix/var/nix/profiles nix/var/nix/gcroots/profiles
        mkdir -p nix/var/nix/gcroots/docker
        for item in "''${contents[@]}"; do ln -s "$item" "nix/var/nix/gcroots/docker/$(basename "$item")"; done
      )
    '';
  };

  # Without structured attributes, as in nixpkgs, all of a derivation's attributes are in the
  # environment of the programs that the commands run.
  exportAttributes = "export name out system stdenv extraCommands fakeRootCommands";

  # fakeroot notes the owners and modes that it was asked for, and the layer is written from that.
  # It is told of them without an answer, and may end before it has read the last: a question, which
  # has an answer, waits for that.
  fakeroot = {
    nativeBuildInputs = [ tools.fakeroot ] ++ lib.optional enableFakechroot tools.proot;
    commands = ''
      cat > fakeroot-commands <<'END_OF_FAKEROOT_COMMANDS'
      source "$NIX_ATTRS_SH_FILE"
      source "$stdenv/setup"
      ${exportAttributes}
      eval "$fakeRootCommands"
      END_OF_FAKEROOT_COMMANDS
      (
        cd root
        ${lib.optionalString enableFakechroot ''proot -r "$PWD" -w / -b /dev -b /proc -b /sys -b ${builtins.storeDir} -b "$NIX_BUILD_TOP" \''}
        fakeroot -s "$NIX_BUILD_TOP/fakeroot-state" -- \
          bash -c 'bash -e "$0" && test -e /' "$NIX_BUILD_TOP/fakeroot-commands"
      )
    '';
  };
in
if extraCommands == "" && fakeRootCommands == "" && !includeNixDB then
  step name "root-layer" data
else
  tools.runCommand name
    (
      data
      // {
        __structuredAttrs = true;
        inherit extraCommands fakeRootCommands;
        nativeBuildInputs = [
          stream-layered
        ]
        ++ lib.optionals includeNixDB nixDatabase.nativeBuildInputs
        ++ lib.optionals (fakeRootCommands != "") fakeroot.nativeBuildInputs;
      }
      // lib.optionalAttrs includeNixDB {
        inherit (nixDatabase) exportReferencesGraph exclude_paths;
      }
    )
    ''
      cd "$NIX_BUILD_TOP"
      stream-layered nix link root
      cd root
      ${lib.optionalString includeNixDB nixDatabase.commands}
      # A shell of their own: what they exit with, export or change stays there.
      (
        ${lib.optionalString includeNixDB ''export NIX_REMOTE="local?root=$PWD" USER=nobody''}
        ${exportAttributes}
        eval "$extraCommands"
      )
      cd "$NIX_BUILD_TOP"
      ${lib.optionalString (fakeRootCommands != "") fakeroot.commands}
      stream-layered nix root-layer root ${
        lib.optionalString (fakeRootCommands != "") "--fakeroot-state fakeroot-state"
      }
    ''

# A package set with nixpkgs' names, from programs that the machine has (`builder = "/bin/bash"`,
# so Nix's sandbox has to be off). Only what this repository and its examples use is in it.
{
  system ? builtins.currentSystem,
  overlays ? [ ],
  # The stream-layered that `rustPlatform.buildRustPackage` stands in with.
  program ? ./program,
  ...
}:
let
  lib = import ./lib.nix;

  base =
    final:
    let
      # Packages made of the machine's programs are built by those programs; everything else by the
      # packages.
      bootstrap = import ./stdenv.nix {
        inherit lib system;
        path = "/usr/bin:/bin:/usr/sbin:/sbin";
      };
      stdenv = import ./stdenv.nix {
        inherit lib system;
        path = "${machine.tools}/bin";
      };
      runCommandWith =
        stdenv: name: attrs: buildCommand:
        stdenv.mkDerivation (
          {
            inherit name buildCommand;
            passAsFile = [ "buildCommand" ] ++ attrs.passAsFile or [ ];
          }
          // removeAttrs attrs [ "passAsFile" ]
        );
      machine = import ./machine.nix {
        inherit lib;
        runCommand = runCommandWith bootstrap;
      };

      # Text in a file; `destination` makes it a directory with the file in it.
      writeTextFile =
        {
          name,
          text,
          executable ? false,
          destination ? "",
          meta ? { },
          passthru ? { },
        }:
        final.runCommand name
          {
            inherit text meta passthru;
            passAsFile = [ "text" ];
            preferLocalBuild = true;
          }
          ''
            install -D -m ${if executable then "555" else "444"} "$textPath" "$out${destination}"
          '';
    in
    {
      inherit lib system stdenv;
      stdenvNoCC = stdenv;
      pkgs = final;
      pkgsStatic = final;
      buildPackages = final;
      callPackage = lib.callPackageWith final;
      extend =
        overlay:
        import ./. {
          inherit system program;
          overlays = overlays ++ [ overlay ];
        };

      runCommand = runCommandWith stdenv;
      writeText = name: text: writeTextFile { inherit name text; };
      writeTextDir =
        path: text:
        writeTextFile {
          name = baseNameOf path;
          destination = "/${path}";
          inherit text;
        };
      writeShellScript =
        name: text:
        writeTextFile {
          inherit name;
          text = "#!${final.runtimeShell}\n${text}";
          executable = true;
        };
      writeShellScriptBin =
        name: text:
        writeTextFile {
          inherit name;
          text = "#!${final.runtimeShell}\n${text}";
          executable = true;
          destination = "/bin/${name}";
          meta.mainProgram = name;
        };
      symlinkJoin =
        {
          name,
          paths,
          postBuild ? "",
        }:
        final.runCommand name { inherit paths; } ''
          mkdir -p "$out"
          for path in $paths; do cp -rs --no-preserve=mode "$path/." "$out/"; done
          ${postBuild}
        '';
      closureInfo =
        { rootPaths }:
        final.runCommand "closure-info"
          {
            __structuredAttrs = true;
            exportReferencesGraph.closure = rootPaths;
          }
          ''
            mkdir "$out"
            jq -r '.closure | length as $n | .[] | ([.path, .narHash, .narSize, "", (.references | length)] + .references) | .[]' \
              < .attrs.json > "$out/registration"
            jq -r '.closure[].path' < .attrs.json > "$out/store-paths"
          '';

      runtimeShell = "${machine.bash}/bin/bash";
      # Hooks and libraries of builds that are not done here.
      installShellFiles = final.writeTextDir "installShellFiles" "";
      pkg-config = final.writeTextDir "pkg-config" "";
      versionCheckHook = final.writeTextDir "versionCheckHook" "";
      xz = final.writeTextDir "xz" "";
      mkShell =
        attrs:
        stdenv.mkDerivation (
          {
            name = "shell";
            buildCommand = "touch $out";
          }
          // attrs
        );

      rustPlatform.buildRustPackage = import ./rust-package.nix {
        inherit lib program;
        inherit (machine) glibc;
        runCommand = runCommandWith bootstrap;
      };

      nixfmt-tree = final.writeShellScriptBin "nixfmt-tree" "";
      cargo = final.hello;
      clippy = final.hello;
      rustc = final.hello;
      rustfmt = final.hello;

      dockerTools = import ./docker-tools.nix {
        inherit (final)
          runCommand
          writeTextDir
          bash
          coreutils
          cacert
          lib
          ;
      };
    }
    // machine;
in
lib.fix (lib.extends (lib.composeManyExtensions overlays) base)

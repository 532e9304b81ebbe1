{
  lib,
  tools,
  stream-layered,
}:
rec {
  # A derivation whose builder is stream-layered itself. It reads `attrs` from the file that Nix writes
  # for structured attributes.
  #
  # Why not `runCommand`? An image is some eight small derivations, and a standard environment takes
  # longer to start than most of them to run; without bash in between, nothing has to be quoted. Why not
  # `builder`? For `mkDerivation` that is a script, which bash runs; `realBuilder` is the program that Nix
  # starts. Why not plain `derivation`? `mkDerivation` knows of systems, `meta` and `overrideAttrs`.
  step =
    name: command: attrs:
    tools.stdenvNoCC.mkDerivation (
      finalAttrs:
      {
        inherit name;
        __structuredAttrs = true;
        preferLocalBuild = true;
        # Most steps take less time than a substituter takes to answer.
        allowSubstitutes = false;
        realBuilder =
          # The builder is no shell, and would pass over it without a word.
          if finalAttrs ? buildCommand then
            throw "${name}: this derivation runs no bash, so that `overrideAttrs` cannot give it a buildCommand"
          else
            lib.getExe stream-layered;
        args = [
          "nix"
          command
        ];
      }
      // attrs
    );

  # A script that runs stream-layered with `arguments`, and with its own after them. With a `bin`,
  # it is a package with one program of that name; without, the script itself.
  program =
    {
      name,
      arguments,
      bin ? null,
      attrs ? { },
    }:
    step name "script" (
      {
        inherit arguments bin;
        shell = tools.runtimeShell;
        program = lib.getExe stream-layered;
      }
      // attrs
    );
}

# The references of a text, and nothing else of it. Nix finds a reference by the 32 digits of its
# hash; a path that is not yet known is named by a placeholder, a slash and 52 digits.
lib: text:
let
  found = builtins.filter builtins.isList (builtins.split "(/?[0-9a-df-np-sv-z]{32,})" text);
in
# The empty start of the text carries its context.
builtins.substring 0 0 text + lib.concatMapStringsSep "\n" builtins.head (lib.unique found)

# The part of nixpkgs' `lib` that this repository and its examples use, with the same meanings.
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    elemAt
    filter
    foldl'
    functionArgs
    intersectAttrs
    isAttrs
    isFunction
    isList
    listToAttrs
    map
    mapAttrs
    readFile
    replaceStrings
    stringLength
    substring
    ;

  alphabet = {
    upper = builtins.filter builtins.isString (builtins.split "" "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    lower = builtins.filter builtins.isString (builtins.split "" "abcdefghijklmnopqrstuvwxyz");
  };
  letters = set: filter (letter: letter != "") set;
in
rec {
  inherit (builtins) mapAttrs;
  inherit (import ./modules.nix { lib = import ./lib.nix; })
    evalModules
    mkBefore
    mkForce
    mkIf
    mkMerge
    mkOption
    types
    ;

  fix =
    f:
    let
      self = f self;
    in
    self;

  # An overlay over a function of the final set.
  extends =
    overlay: base: final:
    let
      prev = base final;
    in
    prev // overlay final prev;

  composeManyExtensions =
    overlays: final: prev:
    foldl' (set: overlay: set // overlay final (prev // set)) { } overlays;

  genAttrs =
    names: value:
    listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );

  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
  filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  recursiveUpdate =
    left: right:
    left
    // mapAttrs (
      name: value:
      if isAttrs value && isAttrs (left.${name} or null) then
        recursiveUpdate left.${name} value
      else
        value
    ) right;

  foldr =
    f: end: values:
    if values == [ ] then end else f (builtins.head values) (foldr f end (builtins.tail values));

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  optionalAttrs = condition: set: if condition then set else { };
  inherit concatMap;
  flatten = value: if isList value then concatMap flatten value else [ value ];
  subtractLists = taken: filter (value: !builtins.elem value taken);
  toList = value: if isList value then value else [ value ];
  unique = foldl' (seen: value: if builtins.elem value seen then seen else seen ++ [ value ]) [ ];
  concatMapStringsSep =
    separator: f: values:
    concatStringsSep separator (map f values);
  concatStrings = concatStringsSep "";
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  removePrefix =
    prefix: text:
    if hasPrefix prefix text then
      substring (stringLength prefix) (stringLength text - stringLength prefix) text
    else
      text;
  removeSuffix =
    suffix: text:
    let
      length = stringLength text - stringLength suffix;
    in
    if length >= 0 && substring length (-1) text == suffix then substring 0 length text else text;
  toLower = replaceStrings (letters alphabet.upper) (letters alphabet.lower);
  escapeShellArg = text: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;

  throwIf =
    condition: message: value:
    if condition then throw message else value;
  throwIfNot = condition: throwIf (!condition);
  warn = message: builtins.trace "warning: ${message}";

  isDerivation = value: value.type or null == "derivation";
  getExe = package: "${getBin package}/bin/${package.meta.mainProgram or package.pname or package.name}";
  getBin = package: package.bin or package;
  makeBinPath = concatMapStringsSep ":" (package: "${package}/bin");
  importTOML = path: builtins.fromTOML (readFile path);

  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  functionArgs' = f: f.__functionArgs or (functionArgs f);

  # The result of `f` with `override`, which calls it again with some arguments changed.
  makeOverridable =
    f:
    setFunctionArgs (
      args:
      let
        result = f args;
        override = change: makeOverridable f (args // (if isFunction change then change args else change));
      in
      if isAttrs result then result // { inherit override; } else result
    ) (functionArgs' f);

  callPackageWith =
    scope: package: args:
    let
      f = if isFunction package then package else import package;
    in
    makeOverridable f (intersectAttrs (functionArgs' f) scope // args);

  fileset = {
    unions = sets: sets;
    # The whole of the root: a smaller source only saves rebuilding.
    toSource =
      { root, fileset }:
      builtins.path {
        name = "source";
        path = root;
        filter = path: _: builtins.any (below (toString path)) (map toString fileset);
      };
  };
  # Whether one of two paths holds the other.
  below = a: b: hasPrefix "${a}/" "${b}/" || hasPrefix "${b}/" "${a}/";

  licenses = genAttrs [ "mit" "asl20" ] (spdxId: {
    inherit spdxId;
  });
  platforms = {
    linux = [
      "x86_64-linux"
      "aarch64-linux"
      "armv7l-linux"
      "i686-linux"
      "powerpc64le-linux"
      "riscv64-linux"
    ];
    all = [ ];
    darwin = [
      "x86_64-darwin"
      "aarch64-darwin"
    ];
  };
}

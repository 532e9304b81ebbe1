# A small module system with the names and meanings of nixpkgs' own: as much of it as a NixOS module
# needs that declares an option anew and defines others.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    foldl'
    head
    isAttrs
    isFunction
    isList
    mapAttrs
    sort
    ;

  property = _type: attrs: attrs // { inherit _type; };
  is = type: value: value._type or null == type;
  names = sets: lib.unique (concatMap attrNames sets);
  having = name: sets: map (set: set.${name}) (filter (set: set ? ${name}) sets);

  # A module's value as one set with all three parts.
  open =
    args: module:
    let
      called = if isFunction module then module args else module;
      opened = if isAttrs module || isFunction module then called else open args (import module);
    in
    if opened ? options || opened ? config || opened ? imports then
      {
        imports = opened.imports or [ ];
        options = opened.options or { };
        config = opened.config or { };
      }
    else
      {
        imports = [ ];
        options = { };
        config = opened;
      };
  openAll =
    args: modules:
    concatMap (
      module:
      let
        opened = open args module;
      in
      openAll args opened.imports ++ [ opened ]
    ) modules;

  # Conditions around a set go to what is in it, so that the names in it can be seen.
  pushDown =
    value:
    if is "if" value then
      map (mapAttrs (_: content: mkIf value.condition content)) (pushDown value.content)
    else if is "merge" value then
      concatMap pushDown value.contents
    else
      [ value ];

  # The values that a definition gives.
  discharge =
    value:
    if is "if" value then
      if value.condition then discharge value.content else [ ]
    else if is "merge" value then
      concatMap discharge value.contents
    else if is "order" value then
      map (given: given // { inherit (value) order; }) (discharge value.content)
    else if is "override" value then
      map (given: given // { inherit (value) priority; }) (discharge value.content)
    else
      [
        {
          inherit value;
          order = 1000;
          priority = 100;
        }
      ];
  definitions =
    values:
    let
      given = concatMap discharge values;
      highest = foldl' (least: one: if one.priority < least then one.priority else least) 9999 given;
      counted = filter (one: one.priority == highest) given;
    in
    map (one: one.value) (sort (a: b: a.order < b.order) counted);

  # An option from all its declarations. Only the type may be declared twice.
  declare =
    place: declarations:
    foldl' (
      one: other:
      let
        twice = filter (name: one ? ${name} && name != "type" && name != "_type") (attrNames other);
      in
      lib.throwIf (twice != [ ]) "the option `${place}` is declared twice" (
        one
        // other
        // lib.optionalAttrs (one ? type && other ? type) { type = one.type.combine other.type; }
      )
    ) { _type = "option"; } declarations;

  evaluate =
    place: declared: defined:
    lib.genAttrs (names declared) (
      name:
      let
        here = "${place}.${name}";
        declarations = having name declared;
        values = having name (concatMap pushDown defined);
        option = declare here declarations;
        unknown = lib.subtractLists (names declarations) (names (concatMap pushDown values));
        given = definitions (
          values ++ lib.optional (option ? default) (property "override" {
            priority = 1500;
            content = option.default;
          })
        );
        merged =
          lib.throwIf (given == [ ]) "the option `${here}` has no value" option.type.merge here given;
      in
      if is "option" (head declarations) then
        {
          _type = "evaluated";
          definitions = given;
          value = (option.apply or (value: value)) merged;
        }
      else
        lib.throwIf (unknown != [ ]) "the option `${here}.${head unknown}` does not exist" (
          evaluate here declarations values
        )
    );
  valuesOf = mapAttrs (
    _: option: if is "evaluated" option then option.value else valuesOf option
  );

  evalModules =
    {
      modules,
      specialArgs ? { },
    }:
    let
      opened = openAll (specialArgs // { inherit lib config options; }) modules;
      part = name: map (module: module.${name}) opened;
      options = evaluate "config" (part "options") (part "config");
      config = valuesOf options;
    in
    {
      inherit config options;
    };

  mkIf = condition: content: property "if" { inherit condition content; };

  type = name: merge: {
    inherit name merge;
    combine = other: type name merge;
  };
  one =
    isOf: name:
    type name (
      place: values:
      let
        value = head values;
      in
      lib.throwIf (builtins.length values > 1) "the option `${place}` is defined twice" (
        lib.throwIfNot (isOf value) "the option `${place}` is no ${name}" value
      )
    );
in
{
  inherit evalModules mkIf;
  mkOption = property "option";
  mkMerge = contents: property "merge" { inherit contents; };
  mkBefore =
    content:
    property "order" {
      order = 500;
      inherit content;
    };
  mkForce =
    content:
    property "override" {
      priority = 50;
      inherit content;
    };
  types = rec {
    str = one builtins.isString "string";
    package = one lib.isDerivation "package";
    attrs = type "attrs" (_: foldl' (all: set: all // set) { });
    listOf = element: type "list" (_: builtins.concatLists);
    nullOr =
      element:
      type "null or ${element.name}" (
        place: values: if values == [ null ] then null else element.merge place values
      );
    attrsOf = element: {
      name = "attrsOf";
      inherit element;
      merge =
        place: sets:
        let
          all = concatMap pushDown sets;
        in
        lib.genAttrs (names all) (
          name: element.merge "${place}.${name}" (definitions (having name all))
        );
      combine = other: attrsOf (element.combine other.element);
    };
    submodule =
      module:
      let
        modules = if isList module then module else [ module ];
      in
      {
        name = "submodule";
        inherit modules;
        merge =
          _: values: (evalModules { modules = modules ++ map (config: { inherit config; }) values; }).config;
        combine = other: submodule (modules ++ other.modules);
      };
  };
}

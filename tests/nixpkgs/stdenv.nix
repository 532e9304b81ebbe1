# Derivations whose builder is the machine's bash, with the programs in `path`.
{
  lib,
  system,
  path,
}:
let
  os = if builtins.match ".*-darwin" system == null then "linux" else "darwin";
  cpu = lib.removeSuffix "-${os}" system;
  platform = rec {
    inherit system;
    isLinux = os == "linux";
    isDarwin = os == "darwin";
    parsed.cpu.name = cpu;
    go.GOARCH =
      {
        x86_64 = "amd64";
        aarch64 = "arm64";
      }
      .${cpu} or cpu;
    canExecute = other: other.system == system;
  };

  # Attributes that make the derivation's value, not the derivation.
  outside = [
    "args"
    "meta"
    "passthru"
    "pname"
    "realBuilder"
    "version"
  ];

  # Attributes, or a function of the attributes that `overrideAttrs` leaves in the end.
  mkDerivation =
    given:
    let
      function = if builtins.isFunction given then given else _: given;
      attrs = lib.fix function;
      name = attrs.name or "${attrs.pname}-${attrs.version}";
      drv = derivation (
        removeAttrs attrs outside
        // {
          inherit name system;
          initialPath = path;
          builder = attrs.realBuilder or "/bin/bash";
          args =
            attrs.args or [
              "-c"
              ''
                if [ -e .attrs.sh ]; then . ./.attrs.sh; fi
                . "$stdenv/setup"
                if [ -n "''${buildCommandPath:-}" ]; then . "$buildCommandPath"; else eval "$buildCommand"; fi
              ''
            ];
          stdenv = ./stdenv;
        }
      );
    in
    drv
    // lib.optionalAttrs (attrs ? pname) { inherit (attrs) pname version; }
    // (attrs.passthru or { })
    // {
      inherit name;
      meta = attrs.meta or { };
      passthru = attrs.passthru or { };
      overrideAttrs =
        change:
        mkDerivation (
          final:
          let
            old = function final;
          in
          old // (if builtins.isFunction change then change old else change)
        );
    };
in
{
  inherit mkDerivation system;
  buildPlatform = platform;
  hostPlatform = platform;
  targetPlatform = platform;
}

# `nix flake init -t github:stream-layered/stream-layered#NAME`
let
  templates =
    builtins.mapAttrs
      (name: description: {
        inherit description;
        path = ./. + "/${name}";
      })
      {
        static-binary = "An image that holds one static program";
        service = "A web service with CA certificates, a port and a user";
        service-on-base = "The same on a base image";
        debug-shell = "An image, and the same with a shell";
      };
in
templates // { default = templates.service; }

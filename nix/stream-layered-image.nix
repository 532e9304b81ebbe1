# A script that writes an image to its standard output.
{
  lib,
  tools,
  stream-layered,
  step,
  program,
  commands,
  rootLayer,
  defaultArchitecture,
}:
{
  # The image's repository. Its last part names the derivations.
  name,
  # null: the hash of the configuration's store path.
  tag ? null,
  # A base image, as `docker save` and `buildLayeredImage` write them.
  fromImage ? null,
  # Packages whose files are linked into the image's root: one, or a list.
  contents ? [ ],
  # `Cmd`, `Env`, `ExposedPorts`, …: what an image's configuration has under `config`.
  config ? { },
  # As Go names it.
  architecture ? defaultArchitecture,
  # When the image says that it was made; no file's date. `now`, ISO 8601, or a flake's
  # `self.lastModifiedDate`.
  created ? "1970-01-01T00:00:01Z",
  # The date of the files of store paths.
  mtime ? "1970-01-01T00:00:01Z",
  # Owner of the files of store paths.
  uid ? 0,
  gid ? 0,
  uname ? "root",
  gname ? "root",
  # Most layers that the image may have, those of the base image and that of the root included.
  maxLayers ? 100,
  # Bash commands that run in the image's root, as the build's own user.
  extraCommands ? "",
  # The same as a seeming root user: owners and modes that they set are kept.
  fakeRootCommands ? "",
  # Runs `fakeRootCommands` with the image's root as `/`.
  enableFakechroot ? false,
  # Whether the store paths that the image needs are in it.
  includeStorePaths ? true,
  # Whether the image has a Nix database that knows its contents.
  includeNixDB ? false,
  passthru ? { },
  meta ? { },
  # How store paths become layers: a list of operations, or a JSON file with one.
  layeringPipeline ? null,
  # Says how the layers came about.
  debug ? false,
  # --- What follows is not in nixpkgs. ---
  # How store paths become layers, without a layeringPipeline: "stable", "auto", "popularity".
  strategy ? null,
  # The image before, or its plan, as a file: what did not change stays in its layer. If it is a script
  # (a result of this function), a `conf.json` or a plan with digests, layers that did not change are not
  # hashed again.
  previous ? null,
  # A lock file, as `.lock` writes it: the plan and the digests that it has are not made again.
  lock ? null,
  # Added to `config.Labels`.
  labels ? { },
  # Annotations of the image's manifest, where the format has them (OCI).
  annotations ? { },
  # Owners of files in the root: path or pattern -> "UID:GID" or { uid = …; gid = …; }.
  owners ? { },
  # Modes of files in the root: path or pattern -> "0755". With a slash at its end, a path is a
  # directory that is made if need be.
  modes ? { },
  # The most that the image may have, as `plan --budget` reads it: `tests.budget` fails beyond.
  budget ? null,
  # Whether the build takes the layers' digests, so that streaming only has to copy.
  digests ? true,
  # The fleet that the image belongs to, set by streamLayeredImages: { plan = file; image = name; … }.
  fleet ? null,
}:
let
  baseName = baseNameOf name;
  imageName = lib.toLower name;

  refuse = message: throw "in docker image ${name}: ${message}";

  # `[ null pkg ]`, `[ [ a ] b ]` and `""` are what conditions in packages' lists leave behind; nixpkgs
  # passes over them, too.
  items = builtins.filter (item: item != null && item != "") (lib.flatten contents);

  # An owner may be a number's text.
  number =
    argument: value:
    if builtins.isInt value && value >= 0 then
      value
    else if builtins.isString value && builtins.match "0|[1-9][0-9]{0,17}" value != null then
      builtins.fromJSON value
    else
      refuse "${argument} has to be a number";

  isTime =
    value:
    builtins.isString value
    && builtins.match "now|@[+-]?[0-9]+|[0-9]{14}|[0-9]{4}-?([0-9]{2}-?[0-9]{2}|W[0-9]{2}-?[0-9]|[0-9]{3})([Tt ][0-9]{2}(:?[0-9]{2}(:?[0-9]{2}([.,][0-9]+)?)?)? ?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?" value != null;
  timeForms = "`now`, `2024-02-29T12:34:56Z`, `20240229123456` (a flake's lastModifiedDate) or `@1709210096` (seconds since 1970)";
  shown = value: if builtins.isString value then "`${value}`" else builtins.toJSON value;

  labelled =
    if labels == { } then
      config
    else
      (if config == null then { } else config)
      // {
        Labels = (if config == null then { } else config.Labels or { }) // labels;
      };

  base = builtins.toJSON {
    inherit architecture;
    config = labelled;
    os = "linux";
  };
  baseJson = step "${baseName}-base.json" "text" { text = base; };
  # The store paths that the configuration names, and nothing else of it.
  references = step "${baseName}-references" "text" {
    text = import ./references.nix lib base;
  };

  customisationLayer = rootLayer {
    inherit
      baseName
      extraCommands
      fakeRootCommands
      enableFakechroot
      includeNixDB
      owners
      modes
      references
      ;
    contents = items;
  };

  plan = {
    inherit
      maxLayers
      fromImage
      layeringPipeline
      lock
      debug
      ;
    # What a script writes is described by its configuration.
    previous = if previous.isExe or false then previous.conf else previous;
    strategy = if strategy == null && layeringPipeline == null then "stable" else strategy;
    fleetPlan = fleet.plan or null;
    fleetImage = fleet.image or null;
  };
  graph =
    roots:
    let
      given = lib.optionals includeStorePaths roots;
    in
    {
      exportReferencesGraph.graph = given;
      exclude_paths = given;
    };
  files = {
    inherit mtime uname gname;
    uid = number "uid" uid;
    gid = number "gid" gid;
  };

  layersJsonFile = step (if layeringPipeline == null then "layers.json" else "docker-layers") "plan" (
    plan
    // graph [
      baseJson
      customisationLayer
    ]
  );

  # The digests depend on the store paths that the configuration names, and not on the rest of it: with
  # another variable, or another tag, Nix does not build them again.
  #
  # So this step plans the layers for itself. Why not from `layersJsonFile`? That one depends on
  # `baseJson`, the whole text of the configuration, whose references Nix has to find in it; then any
  # change of the text would take all digests again. A plan takes milliseconds, digests read the whole
  # closure. Where the plans differ after all, since the configuration's own size counts in one, the
  # step that writes the configuration takes the digests that lack.
  ofLayers =
    name: command: attrs:
    step "${baseName}-${name}" command (
      plan
      // files
      // graph [
        references
        customisationLayer
      ]
      # It reads the whole closure.
      // {
        allowSubstitutes = true;
      }
      // attrs
    );
  layerDigests =
    if !digests || mtime == "now" then null else ofLayers "layer-digests.json" "digests" { };

  # Hashes what the lock has.
  lockCheck = ofLayers "lock-check" "lock-check" {
    meta.description = "compares the digests in the lock of the image ${imageName} with its layers";
  };

  budgetCheck = ofLayers "budget" "budget" {
    inherit budget;
    meta.description = "compares the image ${imageName} with its budget";
  };

  configuration =
    { tag, layerDigests }:
    step "${baseName}-conf.json" "conf" (
      files
      // {
        inherit
          imageName
          tag
          created
          fromImage
          baseJson
          customisationLayer
          layersJsonFile
          layerDigests
          annotations
          ;
        store_dir = builtins.storeDir;
        passthru = { inherit imageTag; };
      }
    );

  conf = configuration { inherit tag layerDigests; };

  # `load` and `push` know the digests of most layers from the time before, or find them in the
  # registry: they do not wait for the step that takes them. A configuration whose path is known only
  # when it is built (a content-addressed derivation) has a tag that only it knows.
  confToSend =
    if tag == null && isPlaceholder conf.outPath then
      conf
    else
      configuration {
        tag = imageTag;
        layerDigests = null;
      };

  isPlaceholder = path: builtins.match "/[0-9a-z]{52}" path != null;

  imageTag =
    if tag != null then
      tag
    else
      builtins.head (builtins.split "-" (baseNameOf (builtins.unsafeDiscardStringContext conf.outPath)));

  # A shell's `>` empties the file before Nix reads it. What a build makes is not read here.
  warnOfEmptyLock =
    if builtins.isPath lock && builtins.readFile lock == "" then
      lib.warn "docker image ${name}: the lock ${toString lock} is empty, so the layers are planned anew; to keep the plan, write the lock with its program's option: `.lock -o FILE`"
    else
      value: value;

  assertions = [
    {
      holds = builtins.isString architecture;
      message = "architecture has to be a string, such as \"arm64\"";
    }
    {
      holds = isTime created;
      message = "created = ${shown created} is no time; it can be ${timeForms}";
    }
    {
      holds = isTime mtime;
      message = "mtime = ${shown mtime} is no time; it can be ${timeForms}";
    }
    {
      holds = !(enableFakechroot && tools.stdenv.hostPlatform.isDarwin);
      message = "enableFakechroot needs a Linux builder (proot is not there on Darwin); `owners` and `modes` need none";
    }
    {
      holds = layeringPipeline != null || maxLayers > 1;
      message = "maxLayers has to be 2 or more, for a layer of store paths and the one of the image's root (it is ${toString maxLayers})";
    }
    {
      holds = strategy == null || layeringPipeline == null;
      message = "`strategy` and `layeringPipeline` both say how store paths become layers; give one of them";
    }
    {
      holds = fleet == null || strategy == null && layeringPipeline == null;
      message = "the layers of a fleet's images are planned together, so that `strategy` and `layeringPipeline` have no meaning for one of them";
    }
    {
      holds = lock == null || previous == null;
      message = "`lock` and `previous` both say what the image was before; give one of them";
    }
    {
      holds = tag == null || builtins.match "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}" tag != null;
      message = "`${toString tag}` is no tag: letters, digits, `_`, `.` and `-` can be in it, 128 at most";
    }
  ]
  ++ map (message: {
    holds = false;
    inherit message;
  }) (import ./config-types.nix lib labelled);

  streamName = "stream-${baseName}";
  streamArguments = [
    "stream"
    "--conf"
    conf
  ];
  # The same program as a package. `lib.getExe` looks for an attribute `bin`, and so finds it in the
  # image itself.
  package = program {
    name = streamName;
    bin = streamName;
    arguments = streamArguments;
    attrs.meta = {
      description = "writes the image ${imageName} to standard output";
      mainProgram = streamName;
    };
  };
in
import ./assertions.nix lib name assertions (
  warnOfEmptyLock program {
    name = streamName;
    arguments = streamArguments;
    attrs = {
      inherit imageName;
      meta = {
        mainProgram = streamName;
      }
      // meta;
      passthru =
        commands {
          inherit baseName imageName;
          conf = confToSend;
        }
        // {
        stream = package;
        bin = package;
        oci = step "${baseName}-oci" "" {
          allowSubstitutes = true;
          args = [
            "stream"
            "--conf"
            conf
            "--format"
            "oci"
            "-o"
            (placeholder "out")
          ];
        };
      }
      // lib.optionalAttrs (fleet != null) { inherit fleet; }
      // passthru
      // lib.optionalAttrs (lock != null || budget != null) {
        tests =
          lib.optionalAttrs (lock != null) { lock = lockCheck; }
          // lib.optionalAttrs (budget != null) { budget = budgetCheck; }
          // passthru.tests or { };
      }
      // {
        inherit imageTag conf confToSend;
        # What the plan of its fleet needs of it.
        fleetMember = {
          inherit fromImage maxLayers lock;
          inherit (plan) previous;
          roots = lib.optionals includeStorePaths [
            references
            customisationLayer
          ];
        };
        # A program that takes the configuration, as nixpkgs' own does.
        streamScript = program {
          name = "stream";
          arguments = [
            "stream"
            "--conf"
          ];
        };
        # The result is one program, not a directory with a `bin`.
        isExe = true;
      };
    };
  }
)

"""From a finished run to the policy that is served: workspaces, the registry, the ladder of stages and its moves."""

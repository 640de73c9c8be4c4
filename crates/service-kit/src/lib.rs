//! What every service's main needs: settings, gRPC stacks, authentication, clock, shutdown.

//! Nothing of its own: the package is there for its dependency, a program.

//! Trust from outside: published vectors, the attack corpus, the order of verification, the machine's whole table, runs
//! with power cuts, and the store on a disk that loses what was not synced.

mod trust {
    mod attacks;
    mod blame;
    mod corpus;
    mod disk;
    mod fixture;
    mod lockout;
    mod model;
    mod order;
    mod powercut;
    mod table;
    mod vectors;
    mod world;
}

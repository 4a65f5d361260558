//! Head office from end to end over real sockets: keys, claims, enrolment, releases, held requests, receipts; and what
//! hostile, slow and doubled clients get.

mod office {
    mod bounds;
    mod commands;
    mod first;
    mod people;
    mod world;
}

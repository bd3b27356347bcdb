//! What an answer's receipt says, how it is signed, how it is checked.

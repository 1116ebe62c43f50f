//! The checks find what they are for, in small crates written here.

use crate::accounts;
use crate::circles::{self, Edge};
use crate::source::Tree;
use crate::{lengths, resolve};

/// The modules of each circle.
fn circles_in(text: &str) -> Vec<Vec<String>> {
    let circles = circles::find(&resolve::edges(&Tree::parse(text)));
    circles.into_iter().map(|circle| circle.into_iter().map(|edge: Edge| edge.from).collect()).collect()
}

#[test]
fn a_circle_of_three_is_found() {
    let found = circles_in(
        "mod a { use crate::b::B; pub struct A(B); }
         mod b { pub struct B(super::c::C); }
         mod c { pub fn c() { let _ = vec![crate::a::A::new()]; } pub struct C; }
         mod d { use crate::{a, b, c}; }",
    );
    assert_eq!(found, [["a", "b", "c"]]);
}

#[test]
fn a_circle_through_what_a_parent_exports_is_found() {
    let found = circles_in(
        "mod parent {
             mod one { use super::Two; pub struct One(Two); }
             mod two { use crate::parent::One as Other; pub struct Two(Other); }
             pub use one::One;
             pub use two::Two;
         }",
    );
    assert_eq!(found, [["parent::one", "parent::two"]]);
}

#[test]
fn a_circle_of_what_two_modules_contain_is_found() {
    let found = circles_in(
        "mod a { pub mod one { use crate::b::two::Two; pub struct One(Two); } pub mod other { pub struct Other; } }
         mod b { pub mod two { pub struct Two; } pub fn b(_: crate::a::other::Other) {} }",
    );
    assert_eq!(found, [["a", "b"]]);
}

#[test]
fn a_circle_through_an_attribute_is_found() {
    let found = circles_in(
        r#"mod a { #[derive(Serialize)] pub struct A { #[serde(with = "crate::b::form")] x: u8 } }
           mod b { pub mod form { use crate::a::A; } }"#,
    );
    assert_eq!(found, [["a", "b"]]);
}

#[test]
fn parent_and_child_may_use_each_other_and_tests_anything() {
    let found = circles_in(
        "mod parent {
             pub struct P(child::C);
             pub mod child { pub struct C(Box<super::P>); }
         }
         mod other { pub struct O(crate::parent::P); }
         #[cfg(test)] mod tests { use crate::other::O; }
         mod with_tests { #[cfg(test)] use crate::third::T; #[cfg(test)] mod tests { use crate::third::T; } }
         mod third { use crate::with_tests; pub struct T; }",
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_functions_lines_are_those_from_its_signature_to_its_brace() {
    let tree = Tree::parse(
        "/// Not counted.\n#[inline]\nfn three() {\n    ();\n}\nimpl X {\n    fn two(&self) {\n    }\n}\n#[test]\nfn tested() {\n\n\n\n}\n",
    );
    let lines: Vec<(String, usize)> =
        lengths::functions(&tree).into_iter().map(|function| (function.name, function.lines)).collect();
    assert_eq!(lines, [("three".to_owned(), 3), ("two".to_owned(), 2)]);
}

#[test]
fn a_files_lines_are_those_without_its_tests() {
    assert_eq!(lengths::lines("fn a() {}\n\nfn b() {}\n\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n"), 4);
}

#[test]
fn an_assignment_to_an_account_s_field_is_found() {
    let text = "fn handle(&mut self) {
        self.used |= 1;
        self.vault.seq = 2;
        vault.load_mut()?.total += 3;
        (key.spent, self.rest) = (4, 5);
        let seq = vault.seq;
    }";
    assert_eq!(accounts::assignments(text), ["seq", "total", "spent"]);
}

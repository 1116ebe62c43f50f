//! Who writes the program's accounts: their own methods. An instruction that assigns a field of one would be a second
//! place where a rule of the account has to be kept.

use syn::visit::{self, Visit};

/// The fields that a source assigns, but those of `self`.
pub fn assignments(text: &str) -> Vec<String> {
    let mut found = Assignments(Vec::new());
    found.visit_file(&syn::parse_file(text).unwrap());
    found.0
}

struct Assignments(Vec<String>);

impl Assignments {
    fn check(&mut self, target: &syn::Expr) {
        match target {
            syn::Expr::Field(field) => {
                let own = matches!(&*field.base, syn::Expr::Path(path) if path.path.is_ident("self"));
                let syn::Member::Named(name) = &field.member else { return };
                if !own {
                    self.0.push(name.to_string());
                }
            }
            syn::Expr::Tuple(tuple) => tuple.elems.iter().for_each(|element| self.check(element)),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Assignments {
    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        self.check(&assign.left);
        visit::visit_expr_assign(self, assign);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        use syn::BinOp::{AddAssign, BitOrAssign, SubAssign};
        if matches!(binary.op, AddAssign(_) | SubAssign(_) | BitOrAssign(_)) {
            self.check(&binary.left);
        }
        visit::visit_expr_binary(self, binary);
    }
}

//! What a query may not do, and how large it may grow, told from its text before any of it is planned.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, Ident, ObjectName, Query, Select, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::SqlError;
use crate::error::{Position, capped};
use crate::select::{TableRead, location_of_word, position, too_complex};
use crate::versions::{Versions, place};

/// Deepest nesting of parentheses, subqueries and calls: `DataFusion`'s own default.
pub(crate) const MAX_NESTING: usize = 50;
/// Most operators and keywords. A chain such as `1 + 1 + …` is as deep a tree as it is long, and what parses and drops
/// such trees recurses: at 2,000 levels that stays far within a thread's stack.
pub(crate) const MAX_OPERATORS: usize = 2_000;
/// Deepest expression, chains included: planning one takes a time that grows with the square of its depth (500 levels:
/// under a second), and can't be interrupted.
const MAX_EXPRESSION_DEPTH: usize = 500;
/// Most SELECTs and tables, each common table expression counted as often as it is used: planning copies it that often,
/// so that twenty of them, each using the one before twice, would be a million.
const MAX_EXPANDED: u64 = 200;

/// Deepest nesting of SELECTs, and of FILTER and OVER clauses: planning takes a time that doubles with each level.
const MAX_QUERY_NESTING: usize = 8;
const MAX_CLAUSE_NESTING: usize = 4;
/// Most grouping sets of one GROUP BY: planning makes a list of all of them, and CUBE of n columns has 2^n.
const MAX_GROUPING_SETS: u64 = 4_096;

/// Functions that stand in FROM; they make rows and read nothing.
const TABLE_FUNCTIONS: [&str; 2] = ["generate_series", "range"];

/// How many tokens can nest an expression without a parenthesis: all but values, names, commas and parentheses.
pub(crate) fn operators(tokens: &[TokenWithSpan]) -> usize {
    let nests = |token: &&TokenWithSpan| match &token.token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    };
    tokens.iter().filter(nests).count()
}

/// The tables that a query reads, after refusing what no SELECT of ours does, and one that grows too large.
pub(crate) fn survey(
    query: &Query,
    tokens: &[TokenWithSpan],
    versions: &Versions,
) -> Result<BTreeSet<TableRead>, SqlError> {
    let mut survey = Survey {
        tokens,
        versions,
        scopes: Vec::new(),
        reads: BTreeSet::new(),
        places: BTreeSet::new(),
        expanded: 0,
        depth: 0,
        clauses: 0,
    };
    if let ControlFlow::Break(refusal) = query.visit(&mut survey) {
        return Err(refusal);
    }
    if survey.expanded > MAX_EXPANDED {
        return Err(too_complex(format!(
            "it comes to more than {MAX_EXPANDED} SELECTs and tables, each common table expression counted as often as it is used"
        )));
    }
    versions.refuse_others(&survey.places)?;
    Ok(survey.reads)
}

/// Walks a query and notes the tables that it names.
struct Survey<'a> {
    tokens: &'a [TokenWithSpan],
    versions: &'a Versions,
    scopes: Vec<Scope>,
    reads: BTreeSet<TableRead>,
    /// Where they are named.
    places: BTreeSet<Location>,
    expanded: u64,
    /// Of the expression that is being walked.
    depth: usize,
    /// FILTER and OVER clauses around what is being walked.
    clauses: usize,
}

/// What a query and the common table expressions in it come to.
#[derive(Default)]
struct Scope {
    expanded: u64,
    /// The common table expressions of the query's WITH: whose query it is, and its name.
    with: Vec<(*const Query, String)>,
    /// Those that have been walked, by name: how much one use of them adds.
    known: Vec<(String, u64)>,
}

impl Survey<'_> {
    fn add(&mut self, amount: u64) {
        match self.scopes.last_mut() {
            Some(scope) => scope.expanded = scope.expanded.saturating_add(amount),
            None => self.expanded = self.expanded.saturating_add(amount),
        }
    }

    fn common_table(&self, name: &str) -> Option<u64> {
        let innermost_first = self.scopes.iter().rev().flat_map(|scope| scope.known.iter().rev());
        innermost_first.filter(|(known, _)| known == name).map(|(_, expanded)| *expanded).next()
    }

    /// Notes what stands in FROM.
    fn visited(&mut self, factor: &TableFactor) -> Result<(), SqlError> {
        refuse_passed_over(factor, self.tokens)?;
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                let function = name.to_string().to_ascii_lowercase();
                if !TABLE_FUNCTIONS.contains(&function.as_str()) {
                    return Err(SqlError::TableFunction {
                        name: capped(&name.to_string()),
                        position: place_of(name),
                        known: TABLE_FUNCTIONS.join(" and "),
                    });
                }
                self.versions.refuse(name, "a function")?;
                self.add(1);
            }
            TableFactor::Table { name, args: None, .. } => {
                let table = table_name(name);
                let common = self.common_table(&table);
                self.add(common.unwrap_or(1));
                if common.is_some() {
                    return self.versions.refuse(name, "a common table expression");
                }
                self.reads.insert(TableRead { name: table, version: self.versions.of(name) });
                self.places.extend(place(name));
            }
            _ => {}
        }
        Ok(())
    }

    fn refuse(&self, keyword: &str) -> ControlFlow<SqlError> {
        ControlFlow::Break(SqlError::NotOneSelect {
            found: format!("found {keyword}"),
            position: position(location_of_word(self.tokens, keyword)),
        })
    }
}

impl Visitor for Survey<'_> {
    type Break = SqlError;

    /// A statement within a query is one that changes data, in a WITH.
    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<SqlError> {
        self.refuse(match statement {
            Statement::Insert(_) => "INSERT",
            Statement::Update(_) => "UPDATE",
            Statement::Delete(_) => "DELETE",
            Statement::Merge(_) => "MERGE",
            _ => "WITH",
        })
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        if !query.locks.is_empty() {
            return self.refuse("FOR");
        }
        let mut scope = Scope::default();
        if let Some(with) = &query.with {
            for table in &with.cte_tables {
                let name = normalized(&table.alias.name);
                scope.with.push((std::ptr::from_ref(table.query.as_ref()), name.clone()));
                if with.recursive {
                    // Within itself it stands for the rows of the last round.
                    scope.known.push((name, 1));
                }
            }
        }
        self.scopes.push(scope);
        if self.scopes.len() > MAX_QUERY_NESTING {
            return ControlFlow::Break(too_complex(format!(
                "its SELECTs are nested deeper than {MAX_QUERY_NESTING} levels: write common table expressions one after the other"
            )));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        let expanded = self.scopes.pop().map_or(0, |scope| scope.expanded);
        if let Some(outer) = self.scopes.last_mut()
            && let Some((_, name)) = outer.with.iter().find(|(of, _)| std::ptr::eq(*of, query))
        {
            outer.known.push((name.clone(), expanded));
            return ControlFlow::Continue(());
        }
        self.add(expanded);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        self.add(1);
        if select.into.is_some() {
            return self.refuse("INTO");
        }
        if grouping_sets(&select.group_by) > MAX_GROUPING_SETS {
            return ControlFlow::Break(too_complex(format!(
                "a GROUP BY of it has more than {MAX_GROUPING_SETS} grouping sets; CUBE of n columns has 2^n"
            )));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<SqlError> {
        self.depth += 1;
        self.clauses += usize::from(has_clause(expression));
        if self.clauses > MAX_CLAUSE_NESTING {
            return ControlFlow::Break(too_complex(format!(
                "FILTER and OVER are nested deeper than {MAX_CLAUSE_NESTING} levels"
            )));
        }
        if self.depth <= MAX_EXPRESSION_DEPTH {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(too_complex(format!(
            "an expression of it is a chain of more than {MAX_EXPRESSION_DEPTH} operators: write IN (…) for many comparisons"
        )))
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<SqlError> {
        self.depth = self.depth.saturating_sub(1);
        self.clauses = self.clauses.saturating_sub(usize::from(has_clause(expression)));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        match self.visited(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(refusal) => ControlFlow::Break(refusal),
        }
    }
}

/// Refuses what the planner would pass over: its answer would be another one than was asked for.
fn refuse_passed_over(factor: &TableFactor, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let found = match factor {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => "TABLESAMPLE",
        TableFactor::Table { partitions, .. } if !partitions.is_empty() => "PARTITION",
        TableFactor::Table { with_hints, .. } if !with_hints.is_empty() => "WITH",
        TableFactor::Table { with_ordinality: true, .. } | TableFactor::Function { with_ordinality: true, .. } => {
            "WITH ORDINALITY"
        }
        _ => return Ok(()),
    };
    let place = match factor {
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => place_of(name),
        _ => position(location_of_word(tokens, found)),
    };
    Err(SqlError::Syntax { message: format!("{found} is not known here, of what stands in FROM"), position: place })
}

fn has_clause(expression: &Expr) -> bool {
    matches!(expression, Expr::Function(call) if call.filter.is_some() || call.over.is_some() || !call.within_group.is_empty())
}

/// How many grouping sets a GROUP BY comes to: its parts' multiply.
fn grouping_sets(group_by: &GroupByExpr) -> u64 {
    let (expressions, modifiers) = match group_by {
        GroupByExpr::All(modifiers) => (&[][..], modifiers),
        GroupByExpr::Expressions(expressions, modifiers) => (expressions.as_slice(), modifiers),
    };
    let of_modifiers = modifiers.iter().map(|modifier| match modifier {
        GroupByWithModifier::Rollup | GroupByWithModifier::Totals => expressions.len() as u64 + 1,
        GroupByWithModifier::Cube => subsets(expressions.len()),
        GroupByWithModifier::GroupingSets(sets) => sets_of(sets),
    });
    expressions.iter().map(sets_of).chain(of_modifiers).fold(1, u64::saturating_mul)
}

fn sets_of(expression: &Expr) -> u64 {
    match expression {
        Expr::Cube(columns) => subsets(columns.len()),
        Expr::Rollup(columns) => columns.len() as u64 + 1,
        // A CUBE within it stands for many.
        Expr::GroupingSets(sets) => {
            sets.iter().map(|set| set.iter().map(sets_of).fold(1, u64::saturating_mul)).fold(0, u64::saturating_add)
        }
        Expr::Nested(inner) => sets_of(inner),
        _ => 1,
    }
}

fn subsets(columns: usize) -> u64 {
    u32::try_from(columns).ok().and_then(|columns| 1_u64.checked_shl(columns)).unwrap_or(u64::MAX)
}

fn place_of(name: &ObjectName) -> Position {
    let first = name.0.first().and_then(|part| part.as_ident());
    position(first.map_or(Location::new(1, 1), |ident| ident.span.start))
}

/// As the planner normalizes: without quotes in lower case. A name of several parts keeps its points and so is no table.
fn table_name(name: &ObjectName) -> String {
    let parts: Vec<String> =
        name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), normalized)).collect();
    parts.join(".")
}

pub(crate) fn normalized(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

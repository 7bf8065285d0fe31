output "dashboard_url" {
  description = "The dashboard, in the console."
  value       = "https://${data.aws_region.this.region}.console.aws.amazon.com/cloudwatch/home?region=${data.aws_region.this.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}
